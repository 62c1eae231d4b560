"""Whether a provider takes an account's key. A key that is missing is this process's own matter; one that the provider
refuses stops the account, and a success with another key starts it again."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Final

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries
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
"""Reasons of a stop that are about the key; look-ups tell them by the same words."""

REFUSING: Final = frozenset({QueryFault.AUTH, QueryFault.FORBIDDEN})

NO_SUCH_TASK: Final = "extend-pipeline-doctor"  # the id of no task: asking for it finds nothing and costs nothing

TRY_GAP_MS: Final = 10_000  # between two questions that only try a key


def is_refused(marks: Collection[str], account: Account) -> bool:
    """Return whether the key that this process has is one of those that the provider has refused."""
    return any(key_mark(account, mark.partition(":")[0]) == mark for mark in marks)


def note_refusal(tx: LedgerTransaction, account: Account, *, reason: str, answer: Answer) -> None:
    """Write down that the provider refused this process's key. Said once for each key: while another process's key is
    taken, this one stops nothing again."""
    if not is_refused(controls.refused_keys(tx, account.name), account):
        mark = key_mark(account, secrets.token_hex(8))
        controls.key_refused(tx, account.name, mark=mark, reason=reason, message=answer.message)


def note_success(tx: LedgerTransaction, account: Account) -> None:
    """Write down that the provider took this process's key: an account that another key has stopped starts again."""
    if not is_refused(controls.refused_keys(tx, account.name), account):
        controls.key_accepted(tx, account.name, reasons=OF_A_KEY)


def note_answers(tx: LedgerTransaction, account: Account, answers: Collection[QueryOutcome]) -> None:
    """Write down what look-ups say of this process's key."""
    if any(isinstance(answer, Found | NotFound) for answer in answers):
        note_success(tx, account)
    for answer in answers:
        if isinstance(answer, QueryFailed) and answer.fault in REFUSING:
            note_refusal(tx, account, reason=answer.fault.value, answer=answer.answer)
            break


def try_other_keys(pipeline: Pipeline, names: Collection[str]) -> None:
    """Ask a free question for each account that a refused key has stopped, where this process has another one; once in
    ten seconds at most."""
    with pipeline.ledger.read() as connection:
        rows = queries.accounts(connection)
    for name in names:
        account, row = pipeline.accounts[name], rows.get(name)
        if row is None or row.stopped_reason not in OF_A_KEY or is_refused(_marks(row), account):
            continue
        if pipeline.now_ms() - pipeline.keys_tried.get(name, 0) < TRY_GAP_MS:
            continue
        pipeline.keys_tried[name] = pipeline.now_ms()
        answer = _ask_about_key(pipeline, account)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            if isinstance(answer, Page):
                note_success(tx, account)
            else:
                note_answers(tx, account, [answer])


def refused_here(pipeline: Pipeline, rows: Mapping[str, AccountRow]) -> list[str]:
    """Return the accounts whose key of this process the provider has refused, by their rows in the ledger."""
    return [name for name, row in rows.items() if name in pipeline.accounts and _refuses(pipeline.accounts[name], row)]


def ask(provider: Provider) -> Page | QueryOutcome:
    """Ask a question that costs nothing and needs a key that is taken."""
    return provider.list_page(1, 1) if provider.list_page_size else provider.query(NO_SUCH_TASK)


def _ask_about_key(pipeline: Pipeline, account: Account) -> Page | QueryOutcome:
    """Ask for a task that is known, where there is one: a provider may refuse an id that it never gave."""
    since = pipeline.now_ms() - spec_of(account.provider).result_life_ms
    with pipeline.ledger.read() as connection:
        known = queries.known_task(connection, account.name, at_least_ms=since)
    provider = pipeline.provider(account.name)
    return ask(provider) if known is None else provider.query(known.task)


def _refuses(account: Account, row: AccountRow) -> bool:
    marks = _marks(row)
    return bool(marks) and is_refused(marks, account)


def _marks(row: AccountRow) -> tuple[str, ...]:
    return tuple((row.refused_keys or "").split())
