"""Plans and statuses as tables and lines of text."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from extend_pipeline.base.days import UTC_ZONE, zone_of
from extend_pipeline.base.wording import counted, first_names, shortened
from extend_pipeline.commands.render.home import describe_today, with_home_option
from extend_pipeline.commands.render.output import say
from extend_pipeline.commands.render.table import Column, print_table
from extend_pipeline.commands.render.text import age, minute, plain
from extend_pipeline.commands.render.videos import MANY
from extend_pipeline.engine.fetch.retention import Urgency
from extend_pipeline.engine.guards.process import DOUBT_TODO, MAY_BE_HIDDEN, WITHDRAWN_TODO
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.status import AccountStatus, Status
from extend_pipeline.engine.store.missing import what_to_do

MAX_FILES: Final = 20  # missing files that are listed; the rest is counted
LONG_MS: Final = 3_600_000  # after this time an adopted task that still runs may be written off: no video waits for it
MAX_UNPLANNED: Final = 20  # open attempts that are listed; --json lists them all
VIDEO: Final = "VIDEO…"  # placeholder for the keys of several videos that wait for one decision
MAX_MESSAGE: Final = 500  # characters of a provider's message
MAX_REQUEST: Final = 6_000  # characters: a prompt and a negative prompt of 2,500 each, and the rest


def print_blockers(plan: Plan, *, everything: bool = False) -> None:
    """Print why videos are blocked, those that need an operator first, and videos with the same blocker together. A
    blocker of the ledger is printed even if no video has it. Beyond MANY blockers videos are only counted, unless
    `everything` is asked for."""
    if (ledger := plan.ledger) is not None and all(video.blocker != ledger for video in plan.videos):
        say(f"needs you: {ledger.message}")
        say(f"    → {with_home_option(ledger.todo)}")
    groups: dict[tuple[bool, str, str], list[str]] = {}
    for video in plan.videos:
        if (blocker := video.blocker) is not None:
            todo = blocker.todo.replace(f"approve {video.key} ", f"approve {VIDEO} ")
            groups.setdefault((not blocker.reason.needs_person, blocker.message, todo), []).append(video.key)
    ordered = sorted(groups.items(), key=lambda group: group[0][0])
    shown = ordered if everything else ordered[:MANY]
    for (is_temporary, message, todo), keys in shown:
        if len(keys) == 1:
            todo = todo.replace(f"approve {VIDEO} ", f"approve {keys[0]} ")
        say(f"{'waits' if is_temporary else 'needs you'}: {first_names(keys)}: {shortened(message, MAX_MESSAGE)}")
        say(f"    → {with_home_option(todo)}")
    if rest := sum(len(keys) for _, keys in ordered[len(shown) :]):
        say(f"and {counted(rest, 'video')} more for other reasons; --all shows them")


def print_elsewhere(whole: Plan, shown: Plan, command: str) -> None:
    """Print how many videos need an operator that a filter has left out of the plan, and the command that shows
    them."""
    if left_out := len(whole.needs_person) - len(shown.needs_person):
        say(f"needs you: {counted(left_out, 'video')} elsewhere")
        say(f"    → {with_home_option(command)}")


_ACCOUNTS: Final[Mapping[Column, Callable[[AccountStatus], str]]] = {
    Column("account"): lambda account: account.account,
    Column("unit", rank=3): lambda account: account.unit,
    Column("today", right=True): lambda account: _of(account.committed_today, account.per_day),
    Column("in all", right=True, rank=1): lambda account: _of(account.committed, account.total),
    Column("amount", right=True, rank=5): lambda account: f"{plain(account.amount)} {account.currency}",
    Column("in doubt", right=True, rank=2): lambda account: _of(account.in_doubt, account.in_doubt_cap),
    Column("in flight", right=True, rank=4): lambda account: f"{account.in_flight} of {account.max_in_flight}",
    Column("standing", prose=True): lambda account: standing(account),
}
"""The columns of the table of accounts, each with its value for an account."""


def print_accounts(accounts: Sequence[AccountStatus]) -> None:
    """Print the accounts with their committed units, budgets, units in doubt, running tasks and stops."""
    print_table(list(_ACCOUNTS), ([value(account) for value in _ACCOUNTS.values()] for account in accounts))


def print_zone(accounts: Sequence[AccountStatus], now_ms: int, timezone: str) -> None:
    """Print the time zone and the current day. Prints nothing if the home has no time zone, and never had one."""
    other_days = sorted({day for account in accounts for day in account.other_days})
    if timezone != UTC_ZONE or other_days:
        say(describe_today(now_ms, timezone))
    if other_days:
        listed = " and ".join(f"{day[:10]} ({zone_of(day)})" for day in other_days)
        say(f"the timezone was changed: units spent on {listed} count for today's budgets too")


def standing(account: AccountStatus) -> str:
    """Return why an account may not submit; `open` if it may."""
    reasons = ["paused"] if account.paused else []
    if account.stopped:
        reasons.append(f"stopped: {shortened(account.stopped, MAX_MESSAGE)}")
    if account.silence:
        reasons.append(account.silence)
    if account.total is None:
        reasons.append("no budget")
    if account.last_good:
        reasons.append("last valid settings are used: nothing is submitted, what is paid for is polled and fetched")
    return "; ".join(reasons) or "open"


def print_paused(status: Status) -> None:
    """Print that everything is paused, if it is."""
    if status.everything_paused:
        say(f"everything is paused → {with_home_option('extend-pipeline resume')}")


def print_lower_prices(status: Status) -> None:
    """Print the prices that were charged below those in accounts.yaml."""
    for lower in status.lower_prices:
        say(f"cheaper since {minute(lower.first_at_ms)}: {lower.message}")


def print_doubts(status: Status) -> None:
    """Print every attempt in doubt with its exact request, then the attempts of accounts that accounts.yaml doesn't
    name, and the tasks that need a decision."""
    for doubt in status.doubts:
        row = doubt.attempt
        say(
            f"in doubt: {row.where} ({row.account}) for {age(doubt.age_s)},"
            f" exposure {plain(doubt.exposure)} {row.unit}: {shortened(row.error_message or '', MAX_MESSAGE)}"
        )
        say(f"    POST {doubt.path} {shortened(row.request, MAX_REQUEST)}")
        key = f"our key {doubt.sent_key}" if doubt.sent_key else "without a key of ours"
        say(f"    sent {'' if row.sending_at is None else minute(row.sending_at)}, {key}")
        if not doubt.is_declared:
            command = f"extend-pipeline resolve {row.where} adopt TASK | write-off"
            say(f"    → its video left the catalogue; {with_home_option(command)}")
    for name, count in status.unknown_accounts:
        say(f"needs you: {count} paid or running attempts are with account {name}, which accounts.yaml doesn't name")
        say("    → put the account back until they are fetched")
    for task in status.leftover_tasks:
        say(f"needs you: task {task.task_id} of {task.account}: {shortened(task.message, MAX_MESSAGE)}")
        say(f"    → {with_home_option(task.todo)}")


def print_withdrawn(status: Status) -> None:
    """Print how many videos left the catalogue at once, if that may be a mistake."""
    if status.withdrawn is not None:
        say(f"needs you: {first_names(status.withdrawn.videos)}: {status.withdrawn.message}")
        say(f"    → {with_home_option(WITHDRAWN_TODO)}")


def print_unplanned(status: Status) -> None:
    """Print the open attempts of videos that a mistake may hide. They are still polled and fetched."""
    for row in status.unplanned[:MAX_UNPLANNED]:
        say(f"polled and fetched: {row.video_key}/{row.hop} ({row.account}) is {row.state}; {MAY_BE_HIDDEN}")
    if len(status.unplanned) > MAX_UNPLANNED:
        say(f"… and {len(status.unplanned) - MAX_UNPLANNED} more")


def print_expiring(status: Status, now_ms: int) -> None:
    """Print results that will expire at the provider, adopted tasks that are not stored yet, and differences between
    the ledger and the statements."""
    for result in status.expiring:
        if result.what == "missing":  # print_missing prints it
            continue
        when = "soon" if result.urgency is Urgency.SOON else "now"
        say(f"ends {when}: {shortened(result.describe(now_ms), MAX_MESSAGE)}")
    for row in status.orphans:
        error = f": {shortened(row.error_message, MAX_MESSAGE)}" if row.error_message else ""
        say(f"adopted: task {row.task_id} of {row.account} is {row.state}{error}")
        if row.state in ("submitted", "processing") and now_ms - row.claimed_at > LONG_MS:
            command = with_home_option(f"extend-pipeline resolve {row.video_key}/{row.hop} write-off")
            say(f"    → for {age((now_ms - row.claimed_at) / 1000)} now; to give it up: {command}")
    for task in status.disagreements:
        difference = f"{task.account} {task.source}/{task.task_id}: {task.verdict}"
        say(f"needs you: {difference}: {shortened(task.note, MAX_MESSAGE)}")
    if status.disagreements:
        say(f"    → {with_home_option('extend-pipeline reconcile ACCOUNT --accept BOOK/TASK')} to accept one")
    for statement in status.statements:
        if statement.unavailable_text:
            label = "needs you" if statement.is_long_unavailable(now_ms) else "not compared"
            say(f"{label}: {shortened(statement.unavailable_text, MAX_MESSAGE)}")
            commands = f"extend-pipeline doctor, then extend-pipeline reconcile {statement.account}"
            say(f"    → {with_home_option(commands)}")
        if statement.others_text:
            say(statement.others_text)


def print_missing(status: Status) -> None:
    """Print the films that are missing in the media store, and whether the store may be another ledger's."""
    store = status.store
    if store.doubt:
        say(f"needs you: the media store: {store.doubt}; nothing is submitted meanwhile")
        say(f"    → {with_home_option(DOUBT_TODO)}")
    for missing in store.missing[:MAX_FILES]:
        say(f"{'lost' if missing.lost else 'gone'}: {shortened(missing.describe(), MAX_MESSAGE)}")
        say(f"    → {with_home_option(what_to_do(missing))}")
    if len(store.missing) > MAX_FILES:
        more = counted(len(store.missing) - MAX_FILES, "more file")
        say(f"gone: {more} → {with_home_option('extend-pipeline status --json')}")


def _of(used: Decimal, budget: Decimal | None) -> str:
    return plain(used) if budget is None else f"{plain(used)} of {plain(budget)}"
