"""Stops and starts of spending: pauses by operators, stops by evidence, back-offs by rate; and operators' decisions."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Column, insert, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, still_waits
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write.hints import webhook_inbox
from extend_pipeline.ledger.write.transitions import Moved, Stale, move, schedule, unschedule

S = AttemptState

MAX_REFUSED_KEYS: Final = 8  # of an account; the newest count

WRITABLE_OFF = frozenset({S.IN_DOUBT, S.SUBMITTED, S.PROCESSING, S.SUCCEEDED})
RESUBMITTABLE = frozenset({S.FAILED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF, S.REJECTED, S.RELEASED})


def pause(tx: LedgerTransaction, account: str = tables.ALL_ACCOUNTS, *, why: str) -> None:
    """Stop all submits of an account, or of all accounts, from the next claim on. Tasks in flight are still polled and
    fetched."""
    tx.append("account_paused", account=account, data={"why": why})


def resume(tx: LedgerTransaction, account: str = tables.ALL_ACCOUNTS, *, why: str) -> list[str]:
    """Lift a pause and a stop; without an account, every one. Return the names of the accounts."""
    table = tables.accounts
    held = table.c.paused.is_(True) | table.c.stopped_reason.is_not(None)
    query = select(table.c.account).where(held)
    if account != tables.ALL_ACCOUNTS:
        query = query.where(table.c.account == account)
    names = list(tx.connection.execute(query).scalars())
    for name in names:
        tx.append("account_resumed", account=name, data={"why": why})
        tx.rows.remove(tables.backoff, name)
    return names


def _account_value(tx: LedgerTransaction, account: str, column: Column[Any]) -> str | None:
    return tx.connection.execute(select(column).where(tables.accounts.c.account == account)).scalar()


def stop_account(tx: LedgerTransaction, account: str, *, reason: str, message: str) -> None:
    """Stop an account on evidence (no balance, bad credentials) until an operator resumes it. A second stop is not
    recorded."""
    if _account_value(tx, account, tables.accounts.c.stopped_reason) is None:
        tx.append("account_stopped", account=account, data={"reason": reason, "message": message})


def refused_keys(tx: LedgerTransaction, account: str) -> tuple[str, ...]:
    """Return the marks of the keys that the provider has refused since an operator last resumed the account."""
    return tuple((_account_value(tx, account, tables.accounts.c.refused_keys) or "").split())


def key_refused(tx: LedgerTransaction, account: str, *, mark: str, reason: str, message: str) -> None:
    """Stop an account because the provider has refused a new key. `mark` distinguishes the key from others."""
    marks = (*refused_keys(tx, account), mark)[-MAX_REFUSED_KEYS:]
    tx.append("key_refused", account=account, data={"marks": list(marks)})
    stop_account(tx, account, reason=reason, message=message)


def key_accepted(tx: LedgerTransaction, account: str, *, reasons: Collection[str]) -> bool:
    """Start an account that was stopped for one of the reasons, because the provider has accepted another key. An
    operator's pause stays. Return whether it was stopped for one of them."""
    stopped = _account_value(tx, account, tables.accounts.c.stopped_reason)
    if stopped not in reasons:
        return False
    tx.append("key_accepted", account=account, data={"stopped": stopped})
    return True


def lift_stop(tx: LedgerTransaction, account: str, *, reason: str) -> None:
    """Lift a stop that was made for one reason, because evidence shows that it has ended. A pause and other stops
    stay."""
    if _account_value(tx, account, tables.accounts.c.stopped_reason) == reason:
        tx.append("account_stop_lifted", account=account, data={"reason": reason})


def back_off(tx: LedgerTransaction, account: str, *, wait_ms: int, note: str) -> None:
    """Let the account back off for `wait_ms`. Afterwards one probe is sent; once it is accepted, all submits are."""
    table = tables.backoff
    row = tx.connection.execute(select(table).where(table.c.account == account)).first()
    not_before = tx.now_ms + wait_ms
    if row is None:
        tx.connection.execute(insert(table).values(account=account, not_before=not_before, failures=1, note=note))
    elif not still_waits(row.not_before, tx.now_ms, longest_ms=MAX_BACKOFF_MS):
        # several responses of one burst are one failure
        values = {"not_before": not_before, "failures": row.failures + 1, "note": note}
        tx.connection.execute(update(table).where(table.c.account == account).values(**values))


def backoff_failures(tx: LedgerTransaction, account: str) -> int:
    """Return how often in a row the account had to back off."""
    table = tables.backoff
    return tx.connection.execute(select(table.c.failures).where(table.c.account == account)).scalar() or 0


def clear_backoff(tx: LedgerTransaction, account: str) -> None:
    """End the account's back-off, because a submit was accepted."""
    tx.rows.remove(tables.backoff, account)


def write_off(tx: LedgerTransaction, attempt_id: str, *, data: Mapping[str, Any]) -> Moved | Stale:
    """Give up a task by an operator's decision, and book its charge."""
    row = tx.rows.attempt(attempt_id)
    moved = move(tx, attempt_id, to=S.WRITTEN_OFF, expect=WRITABLE_OFF, data=data)
    if row is not None and isinstance(moved, Moved):
        unschedule(tx, attempt_id)
        if webhook_inbox.named(tx.connection, [attempt_id]):  # by a callback that is not processed yet
            schedule(tx, attempt_id, account=row.account, due_at=tx.now_ms, while_in=webhook_inbox.ENDED)
    return moved


def allow_resubmit(tx: LedgerTransaction, attempt_id: str, *, why: str) -> Moved | Stale:
    """Allow, by an operator's decision, to pay for this extension again as a new generation. Only if its attempt has
    ended."""
    row = tx.rows.attempt(attempt_id)
    if row is None:
        return Stale(attempt_id, None)
    if row.state not in RESUBMITTABLE:
        return Stale(attempt_id, row.state)
    tx.append(
        "resubmit_allowed",
        attempt_id=attempt_id,
        video_key=row.video_key,
        account=row.account,
        data={"why": why},
    )
    return Moved(attempt_id, row.state)
