"""Asset checks on what waits for a person, and how a run says so at its end."""

from collections.abc import Sequence
from typing import Any, Final

import dagster as dg

from extend_pipeline.alerts.message import Waiting
from extend_pipeline.base.days import in_zone
from extend_pipeline.base.wording import counted, first_names, with_home
from extend_pipeline.dagster_defs.assets.request_end import booked
from extend_pipeline.dagster_defs.checks.outcome import MAX_ROWS, as_text, markdown_table, outcome
from extend_pipeline.engine.guards.process import key_blockers
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.needs import Need, needs_now
from extend_pipeline.engine.status import AccountStatus, accounts_now
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries

NEEDS_PERSON_TAG: Final = "extend_pipeline/needs_person"
"""The tag of a run that ended with something for a person: how many things."""

_COLUMNS: Final = ("video", "hop", "account", "what happened", "charge", "the provider's words", "what helps")


def nobody_is_needed(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Nothing waits for a person. An error is a stopped account, an attempt in doubt for longer than an hour, or a paid
    file that is about to expire; the rest, such as a refused request or a failed hop, is a warning. `extend-pipeline
    status --needs-you` shows the same."""
    return needs_outcome(needs_now(pipeline), pipeline.configuration.timezone)


def needs_outcome(needs: Sequence[Need], timezone: str) -> dg.AssetCheckResult:
    """Return the result of a check that passes where nothing waits for a person, with a table of what does. Times are
    in `timezone` (an IANA name)."""
    more: dict[str, Any] = {
        "urgent": sum(need.is_urgent for need in needs),
        "videos": len({key for need in needs for key in need.videos}),
    }
    if needs:
        rows = [[in_zone(cell, timezone) for cell in _cells(need)] for need in needs[:MAX_ROWS]]
        more["waiting"] = markdown_table(_COLUMNS, rows, left_out=len(needs) - len(rows))
    return outcome(
        [in_zone(_sentence(need), timezone) for need in needs],
        "extend-pipeline status --needs-you shows all of it",
        dg.AssetCheckSeverity.ERROR if more["urgent"] else dg.AssetCheckSeverity.WARN,
        more=more,
    )


def _sentence(need: Need) -> str:
    """Return the text of what waits, for the description of the check and for logs."""
    videos = first_names(need.videos)
    named = f"{videos}: " if videos and not need.message.startswith(f"{videos}/") else ""
    charge = _charge(need)
    return f"{named}{need.message}{charge and f'; {charge}'} → {need.todo}"


def _cells(need: Need) -> list[str]:
    message = need.message
    for repeated in (f": {need.words}", f" ({need.words})") if need.words else ():
        message = message.replace(repeated, "")
    hop = "" if need.hop is None else str(need.hop)
    return [first_names(need.videos), hop, need.account, message, _charge(need), need.words, need.todo]


def as_waiting(need: Need, pipeline: Pipeline) -> Waiting:
    """Return what waits as an alert reports it. Times are in the home's time zone, and commands name the home, because
    an alert is read anywhere."""
    timezone, home = pipeline.configuration.timezone, str(pipeline.settings.home)
    _, _, account, message, charge, words, todo = (in_zone(cell, timezone) for cell in _cells(need))
    return Waiting(
        ids=need.ids,
        kind=need.kind,
        videos=need.videos,
        hop=need.hop,
        account=account,
        message=message,
        charge=charge,
        words=words,
        todo=with_home(todo, home),
        is_urgent=need.is_urgent,
        sentence=with_home(in_zone(_sentence(need), timezone), home),
    )


def _charge(need: Need) -> str:
    """Return what the request costs that it is about, as its page says it."""
    return "" if need.attempt is None else booked(need.attempt).describe_charge()


def accounts_run(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Every account works: none is stopped (an error), paused, or without a key that this process can use, and every
    provider replies. After two submits without a reply nothing is sent until a query was answered, and the account is
    asked less and less often."""
    accounts, keys = accounts_now(pipeline), _keys(pipeline)
    with pipeline.ledger.read() as connection:
        everywhere = queries.accounts(connection).get(tables.ALL_ACCOUNTS)
    rows = [[account.account, *row] for account in accounts for row in _standing(account, keys.get(account.account))]
    if everywhere is not None and everywhere.paused:
        rows.insert(0, ["all accounts", "paused", "", "extend-pipeline resume"])
    timezone = pipeline.configuration.timezone
    rows = [[in_zone(cell, timezone) for cell in row] for row in rows]
    columns = ("account", "what happened", "the provider's words", "what helps")
    shown = rows[:MAX_ROWS]
    table = {"accounts": markdown_table(columns, shown, left_out=len(rows) - len(shown))} if rows else {}
    return outcome(
        [f"{name}: {what}{f' ({words})' if words else ''} → {todo}" for name, what, words, todo in rows],
        "extend-pipeline status shows what waits for them",
        dg.AssetCheckSeverity.ERROR if any(a.stop for a in accounts) else dg.AssetCheckSeverity.WARN,
        more=table,
    )


def _standing(account: AccountStatus, key: tuple[str, str] | None) -> list[list[str]]:
    """Return what keeps an account from working: what happened, the provider's words, and what helps."""
    rows = []
    if account.stop is not None:
        what = (account.stopped or "").removesuffix(f": {account.stopped_message}")
        rows.append([f"stopped: {what.replace('_', ' ')}", account.stopped_message, account.stop.todo])
    if account.paused:
        rows.append(["paused", "", f"extend-pipeline resume {account.account}"])
    if key is not None:
        rows.append([key[0], "", key[1]])
    if account.silence:
        rows.append([account.silence, "", "extend-pipeline doctor shows whether it can be reached"])
    return rows


def _keys(pipeline: Pipeline) -> dict[str, tuple[str, str]]:
    """Return what is wrong with the keys of accounts that have work, and what helps, by account."""
    with pipeline.ledger.read() as connection:
        blockers = key_blockers(pipeline, queries.accounts(connection))
        at_work = {name for name, _ in queries.open_accounts(connection)} | queries.unfinished_accounts(connection)
    lacking = pipeline.without_key()
    return {
        name: (lacking.get(name, blocker.message), blocker.todo)
        for name, blocker in blockers.items()
        if name in at_work or name not in lacking  # an account of accounts.yaml that does nothing needs no key
    }


def report_needs(context: dg.OpExecutionContext, check: dg.AssetCheckResult | dg.AssetCheckEvaluation) -> None:
    """Say at the end of a run what waits for a person, by the result of `nobody_is_needed`: in its last line and in
    its tag. Do nothing if nothing waits."""
    if check.passed:
        return
    findings = check.metadata["findings"].value
    assert isinstance(findings, int)
    context.instance.add_run_tags(context.run_id, {NEEDS_PERSON_TAG: str(findings)})
    log = context.log.error if check.severity is dg.AssetCheckSeverity.ERROR else context.log.warning
    log(f"needs a person: {counted(findings, 'thing')}\n{as_text(check.description or '')}")
