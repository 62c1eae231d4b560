"""Whether an account's provider replies. One that doesn't is asked one free query at a time, less and less often; after
silent submits nothing is sent to it until a query was answered."""

from collections.abc import Collection, Sequence
from functools import partial

from sqlalchemy import Connection

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.keys import note_outcomes, send_free_query
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.ledger.clock import still_waits
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import MAX_SILENT_SUBMITS
from extend_pipeline.ledger.write.hints import contacts, job_queue
from extend_pipeline.providers.protocol import (
    Page,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    Rejected,
    SubmitOutcome,
    Unknown,
)


def note_submits(tx: LedgerTransaction, account: str, outcomes: Sequence[SubmitOutcome]) -> None:
    """Record whether submits that ended together had a reply. One of which no byte was sent shows nothing, and one
    without a reply nothing beside one with a reply."""
    if any(not isinstance(outcome, Unknown | Rejected) or outcome.answer.http_status for outcome in outcomes):
        contacts.replied(tx, account)
    else:
        contacts.silent_submits(tx, account, sum(isinstance(outcome, Unknown) for outcome in outcomes))


def note_queries(
    tx: LedgerTransaction, account: Account, outcomes: Collection[Page | QueryOutcome], settings: Settings
) -> None:
    """Record whether any of the queries had a reply, be it an error. A fault of this machine shows nothing."""
    if any(map(has_reply, outcomes)):
        contacts.replied(tx, account.name)
    elif False in map(has_reply, outcomes):
        _note_silence(tx, account, settings)


def _note_silence(tx: LedgerTransaction, account: Account, settings: Settings) -> None:
    longest_ms = schedule.max_ask_wait_ms(settings, account)
    contacts.silent_query(tx, account.name, gap_ms=partial(schedule.ask_gap_ms, account), longest_ms=longest_ms)


def has_reply(outcome: Page | QueryOutcome) -> bool | None:
    """Return whether a query had a reply; None where a fault of this machine kept it from being sent."""
    if not isinstance(outcome, QueryFailed) or outcome.answer.http_status is not None:
        return True
    return False if outcome.fault is QueryFault.UNREACHABLE else None


def waits(pipeline: Pipeline, connection: Connection) -> dict[str, int]:
    """Return the accounts that are asked nothing now because they did not reply, and until when (UTC ms)."""
    now_ms = pipeline.now_ms()
    return {
        name: row.ask_at
        for name, row in queries.contacts(connection).items()
        if name in pipeline.accounts and _still_waits(pipeline, name, row.ask_at, now_ms)
    }


def ask_silent(pipeline: Pipeline, names: Collection[str]) -> list[str]:
    """Return the accounts that may be asked now. One that did not reply is sent a free query first, when its time has
    come; with a reply, its tasks become due."""
    with pipeline.ledger.read() as connection:
        rows = queries.accounts(connection)
        known = queries.contacts(connection)
        waiting = waits(pipeline, connection)
    replying = []
    for name in names:
        silent_submits = rows[name].silent_submits if name in rows else 0
        silences = known[name].silences if name in known else 0
        is_silent = bool(silences) or silent_submits >= MAX_SILENT_SUBMITS
        if not is_silent or (name not in waiting and _replies(pipeline, pipeline.accounts[name])):
            replying.append(name)
    return replying


def _replies(pipeline: Pipeline, account: Account) -> bool:
    """Ask an account that did not reply; return whether it does. False while it isn't its time."""
    name, settings = account.name, pipeline.settings
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        longest_ms = schedule.max_ask_wait_ms(settings, account)
        if not contacts.take_turn(tx, name, for_ms=int(settings.get_deadline_s * 1000), longest_ms=longest_ms):
            return False
    outcome = send_free_query(pipeline.provider(name))
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        contacts.end_turn(tx, name)
        if not isinstance(outcome, Page):
            note_outcomes(tx, account, [outcome])
        if has_reply(outcome):
            contacts.replied(tx, name)
            job_queue.make_due(tx, name)
            return True
        _note_silence(tx, account, settings)
        if isinstance(outcome, QueryFailed):
            job_queue.note_on_doubts(tx, name, f"{outcome.fault.value}: {outcome.answer.message}")
    return False


def _still_waits(pipeline: Pipeline, name: str, ask_at: int, now_ms: int) -> bool:
    longest_ms = schedule.max_ask_wait_ms(pipeline.settings, pipeline.accounts[name])
    return still_waits(ask_at, now_ms, longest_ms=longest_ms)
