"""Keys that a provider refuses or accepts. A missing key concerns only this process; a refused key stops the account,
and a success with another key starts it again."""

import secrets
from collections.abc import Collection, Mapping
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.rows import AccountRow
from extend_pipeline.ledger.write import controls
from extend_pipeline.providers.protocol import (
    Answer,
    Found,
    NotFound,
    Page,
    Provider,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    RejectReason,
)
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.providers.wire.credentials import key_mark

OF_A_KEY: Final = frozenset({RejectReason.AUTH.value, RejectReason.FORBIDDEN.value})
"""Reasons of stops because of the key; queries fail with the same values."""

REFUSING: Final = frozenset({QueryFault.AUTH, QueryFault.FORBIDDEN})

NO_SUCH_TASK: Final = "extend-pipeline-doctor"  # no task has this id; the query finds nothing and costs nothing

TRY_GAP_MS: Final = 10_000  # between two queries that only show whether the stop of an account is over


def is_refused(marks: Collection[str], account: Account) -> bool:
    """Return whether this process's key is one of the refused keys, which are stored as `marks`."""
    return any(key_mark(account, mark.partition(":")[0]) == mark for mark in marks)


def note_refusal(tx: LedgerTransaction, account: Account, *, reason: str, answer: Answer) -> None:
    """Record that the provider refused this process's key. Recorded once for each key, so that this process doesn't
    stop the account again while another process's key is accepted."""
    if not is_refused(controls.refused_keys(tx, account.name), account):
        mark = key_mark(account, secrets.token_hex(8))
        controls.key_refused(tx, account.name, mark=mark, reason=reason, message=answer.message)


def note_success(tx: LedgerTransaction, account: Account) -> None:
    """Record that the provider accepted this process's key; an account stopped because of another key starts again."""
    if not is_refused(controls.refused_keys(tx, account.name), account):
        controls.key_accepted(tx, account.name, reasons=OF_A_KEY)


def note_outcomes(tx: LedgerTransaction, account: Account, outcomes: Collection[QueryOutcome]) -> None:
    """Record what the outcomes of queries show about this process's key."""
    if any(isinstance(outcome, Found | NotFound) for outcome in outcomes):
        note_success(tx, account)
    for outcome in outcomes:
        if isinstance(outcome, QueryFailed) and outcome.fault in REFUSING:
            note_refusal(tx, account, reason=outcome.fault.value, answer=outcome.answer)
            break


def may_ask_stopped(pipeline: Pipeline, name: str) -> bool:
    """Return whether an account may be asked now whether its stop is over, at most once in 10 s; keep the time if so. A
    time after now is that of a clock which was set back since."""
    now_ms = pipeline.now_ms()
    if 0 <= now_ms - pipeline.stops_asked.get(name, 0) < TRY_GAP_MS:
        return False
    pipeline.stops_asked[name] = now_ms
    return True


def try_other_keys(pipeline: Pipeline, names: Collection[str]) -> None:
    """Send a free query for each account that is stopped because of a refused key while this process has another key;
    at most once in 10 s for each account."""
    with pipeline.ledger.read() as connection:
        rows = queries.accounts(connection)
    for name in names:
        account, row = pipeline.accounts[name], rows.get(name)
        if row is None or row.stopped_reason not in OF_A_KEY or is_refused(_marks(row), account):
            continue
        if not may_ask_stopped(pipeline, name):
            continue
        outcome = _test_key(pipeline, account)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            if isinstance(outcome, Page):
                note_success(tx, account)
            else:
                note_outcomes(tx, account, [outcome])


def refused_here(pipeline: Pipeline, rows: Mapping[str, AccountRow]) -> list[str]:
    """Return the accounts for which the provider has refused this process's key; `rows` are the ledger's accounts."""
    return [name for name, row in rows.items() if name in pipeline.accounts and _refuses(pipeline.accounts[name], row)]


def send_free_query(provider: Provider) -> Page | QueryOutcome:
    """Send a query that costs nothing and needs a valid key."""
    return provider.list_page(1, 1) if provider.list_page_size else provider.query(NO_SUCH_TASK)


def known_task(pipeline: Pipeline, account: Account) -> AttemptRow | None:
    """Return the newest attempt whose task the account's provider must still know; None without one."""
    since = pipeline.now_ms() - spec_of(account.provider).result_life_ms
    with pipeline.ledger.read() as connection:
        return queries.known_task(connection, account.name, at_least_ms=since)


def _test_key(pipeline: Pipeline, account: Account) -> Page | QueryOutcome:
    """Query a known task if there is one, because a provider may refuse an unknown id; else send the free query."""
    known, provider = known_task(pipeline, account), pipeline.provider(account.name)
    return send_free_query(provider) if known is None else provider.query(known.task)


def _refuses(account: Account, row: AccountRow) -> bool:
    marks = _marks(row)
    return bool(marks) and is_refused(marks, account)


def _marks(row: AccountRow) -> tuple[str, ...]:
    return tuple((row.refused_keys or "").split())
