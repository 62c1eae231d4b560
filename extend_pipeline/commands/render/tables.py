"""Plans and statuses as tables for a person."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from extend_pipeline.base.days import NO_ZONE, zone_of
from extend_pipeline.base.wording import counted
from extend_pipeline.commands.render.output import say
from extend_pipeline.commands.render.table import Column, print_table
from extend_pipeline.commands.render.text import age, minute, plain, shortened, with_home_option
from extend_pipeline.commands.render.videos import named
from extend_pipeline.commands.render.zone import describe_today
from extend_pipeline.engine.doubt.resolve import split_where
from extend_pipeline.engine.fetch.retention import Urgency
from extend_pipeline.engine.guards.process import DOUBT_TODO
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.status import AccountStatus, Status
from extend_pipeline.engine.store.missing import what_to_do

MAX_FILES: Final = 20  # files that are gone; the rest is counted
LONG_MS: Final = 3_600_000  # a task that was taken over and still runs: nobody's plan waits for it
MAX_UNPLANNED: Final = 20  # open attempts named one by one; --json names them all
VIDEO: Final = "VIDEO…"  # stands for their keys where many videos wait for one decision
MAX_WORDS: Final = 500  # characters of a provider's words
MAX_REQUEST: Final = 6_000  # a prompt and a negative prompt of 2,500 characters, and the rest


def print_obstacles(plan: Plan, *, home: Path | None) -> None:
    """What videos wait for, in words, those that need a person first; videos that wait for the same are told once. What
    is wrong with the ledger is told also where no video waits for it."""
    if (ledger := plan.ledger) is not None and all(video.blocker != ledger for video in plan.videos):
        say(f"needs you: {ledger.message}")
        say(f"    → {with_home_option(ledger.todo, home)}")
    groups: dict[tuple[bool, str, str], list[str]] = {}
    for video in plan.videos:
        if (held := video.blocker) is not None:
            todo = held.todo.replace(f"approve {video.key} ", f"approve {VIDEO} ")
            told = (not held.reason.needs_person, held.message, todo)
            groups.setdefault(told, []).append(video.key)
    for (by_itself, message, todo), keys in sorted(groups.items(), key=lambda group: group[0][0]):
        if len(keys) == 1:
            todo = todo.replace(f"approve {VIDEO} ", f"approve {keys[0]} ")
        say(f"{'waits' if by_itself else 'needs you'}: {named(keys)}: {shortened(message, MAX_WORDS)}")
        say(f"    → {with_home_option(todo, home)}")


def print_accounts(accounts: Sequence[AccountStatus]) -> None:
    """Accounts: what is committed, of what budget, what of it nobody knows, what runs, what is stopped."""
    columns = (
        Column("account"),
        Column("unit", rank=3),
        Column("today", right=True),
        Column("in all", right=True, rank=1),
        Column("amount", right=True, rank=5),
        Column("in doubt", right=True, rank=2),
        Column("in flight", right=True, rank=4),
        Column("standing", prose=True),
    )
    print_table(columns, (_account_row(account) for account in accounts))


def print_zone(accounts: Sequence[AccountStatus], now_ms: int, timezone: str) -> None:
    """Say whose days and clock are shown; nothing for a home without a time zone of its own or of before."""
    other_days = sorted({day for account in accounts for day in account.other_days})
    if timezone != NO_ZONE or other_days:
        say(describe_today(now_ms, timezone))
    if other_days:
        listed = " and ".join(f"{day[:10]} ({zone_of(day)})" for day in other_days)
        say(f"the timezone was changed: what was spent on {listed} counts for today's budgets too")


def standing(account: AccountStatus) -> str:
    """Return whether an account may submit, in words."""
    words = ["paused"] if account.paused else []
    if account.stopped:
        words.append(f"stopped: {shortened(account.stopped, MAX_WORDS)}")
    if account.total is None:
        words.append("no budget")
    if account.last_good:
        words.append("as it was last good: nothing is submitted, what is paid for is looked after")
    return "; ".join(words) or "open"


def print_lower_prices(found: Status) -> None:
    """Prices that were charged below those of accounts.yaml, each once, with the line to write."""
    for lower in found.lower_prices:
        say(f"cheaper since {minute(lower.first_at_ms)}: {lower.message}")


def print_doubts(found: Status, *, home: Path | None) -> None:
    """Every attempt in doubt with the exact request that may or may not have been accepted; and what nobody can look at
    any more, since its video or its account is no longer written down."""
    planned = {video.key for video in found.plan.videos}
    for doubt in found.doubts:
        say(
            f"in doubt: {doubt.where} ({doubt.account}) for {age(doubt.age_s)},"
            f" {plain(doubt.exposure)} {doubt.unit} at stake: {shortened(doubt.why, MAX_WORDS)}"
        )
        say(f"    POST {doubt.path} {shortened(doubt.request, MAX_REQUEST)}")
        key = f"our key {doubt.sent_key}" if doubt.sent_key else "without a key of ours"
        say(f"    sent {'' if doubt.sent_at is None else minute(doubt.sent_at)}, {key}")
        if split_where(doubt.where)[0] not in planned:
            decide = f"extend-pipeline resolve {doubt.where} adopt TASK | write-off"
            say(f"    → its video left the catalogue; {with_home_option(decide, home)}")
    for name, count in found.unknown_accounts:
        say(f"needs you: {count} paid or running attempts are with account {name}, which accounts.yaml doesn't name")
        say("    → put the account back until they are fetched")
    for task in found.leftover_tasks:
        say(f"needs you: task {task.task_id} of {task.account}: {shortened(task.message, MAX_WORDS)}")
        say(f"    → {with_home_option(task.todo, home)}")


def print_unplanned(found: Status) -> None:
    """Open attempts of videos that the files don't give now; they are polled and fetched all the same."""
    for row in found.unplanned[:MAX_UNPLANNED]:
        say(f"looked after: {row.video_key}/{row.hop} ({row.account}) is {row.state}; a mistake hides its video")
    if len(found.unplanned) > MAX_UNPLANNED:
        say(f"… and {len(found.unplanned) - MAX_UNPLANNED} more")


def print_expiring(found: Status, now_ms: int, *, home: Path | None) -> None:
    """What will be gone upstream soon, what was taken over and is not here yet, and how the providers' books differ."""
    for each in found.expiring:
        if each.what == "missing":  # told with what is gone from the store
            continue
        word = "soon" if each.urgency is Urgency.SOON else "now"
        say(f"ends {word}: {shortened(each.describe(now_ms), MAX_WORDS)}")
    for row in found.orphans:
        words = f": {shortened(row.error_message, MAX_WORDS)}" if row.error_message else ""
        say(f"taken over: task {row.task_id} of {row.account} is {row.state}{words}")
        if row.state in ("submitted", "processing") and now_ms - row.claimed_at > LONG_MS:
            given_up = with_home_option(f"extend-pipeline resolve {row.video_key}/{row.hop} write-off", home)
            say(f"    → for {age((now_ms - row.claimed_at) / 1000)} now; to give it up: {given_up}")
    for task in found.disagreements:
        what = f"{task.account} {task.source}/{task.task_id}: {task.verdict}"
        say(f"needs you: {what}: {shortened(task.note, MAX_WORDS)}")
    if found.disagreements:
        say(f"    → {with_home_option('extend-pipeline reconcile ACCOUNT --accept BOOK/TASK', home)} to let one be")
    for statement in found.statements:
        if statement.unavailable_text:
            word = "needs you" if statement.is_long_unavailable(now_ms) else "not compared"
            say(f"{word}: {shortened(statement.unavailable_text, MAX_WORDS)}")
            look = f"extend-pipeline doctor, then extend-pipeline reconcile {statement.account}"
            say(f"    → {with_home_option(look, home)}")
        if statement.others_text:
            say(statement.others_text)


def print_missing(found: Status, *, home: Path | None) -> None:
    """Films that are gone from the media store, or that the store seems not to be the ledger's."""
    store = found.store
    if store.doubt:
        say(f"needs you: the media store: {store.doubt}; nothing is submitted meanwhile")
        say(f"    → {with_home_option(DOUBT_TODO, home)}")
    for missing in store.missing[:MAX_FILES]:
        say(f"{'lost' if missing.lost else 'gone'}: {shortened(missing.describe(), MAX_WORDS)}")
        say(f"    → {with_home_option(what_to_do(missing), home)}")
    if len(store.missing) > MAX_FILES:
        more = counted(len(store.missing) - MAX_FILES, "more file")
        say(f"gone: {more} → {with_home_option('extend-pipeline status --json', home)}")


def _account_row(account: AccountStatus) -> list[str]:
    return [
        account.account,
        account.unit,
        _of(account.committed_today, account.per_day),
        _of(account.committed, account.total),
        f"{plain(account.amount)} {account.currency}",
        _of(account.in_doubt, account.in_doubt_cap),
        f"{account.in_flight} of {account.max_in_flight}",
        standing(account),
    ]


def _of(used: Decimal, budget: Decimal | None) -> str:
    return plain(used) if budget is None else f"{plain(used)} of {plain(budget)}"
