"""The task of an attempt that somebody has written off, once its provider's own answer names it after all."""

from __future__ import annotations

from sqlalchemy import select

from extend_pipeline.base.days import zone_of
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import Orphan
from extend_pipeline.ledger.write.transitions import Moved, Stale, state_of

S = AttemptState


def turned_up(tx: LedgerTransaction, attempt_id: str, *, task_id: str) -> Moved | Stale:
    """Take the task over as an orphan, so that its film is fetched; the charge that was booked when the attempt was
    written off moves to it. The attempt stays closed: its hop may be paid for again already.

    Stale where the attempt is not written off, or a task of it or an attempt of this task is known.
    """
    table = tables.attempts
    row = tx.connection.execute(select(table).where(table.c.attempt_id == attempt_id)).first()
    if row is None or row.state != S.WRITTEN_OFF.value or row.task_id is not None:
        return Stale(attempt_id, state_of(tx, attempt_id))
    moved = reconciliation.adopt_orphan(
        tx,
        Orphan(
            account=row.account,
            provider=row.provider,
            submit_class=row.submit_class,
            task_id=task_id,
            external_task_id=row.external_task_id,
            parent_video_id=row.parent_video_id,
            parent_duration_ms=row.parent_duration_ms,
            unit=row.unit,
            predicted_micros=row.predicted_micros,
            unit_price_micros=row.unit_price_micros,
            currency=row.currency,
            failed_tasks_charged=row.failed_tasks_charged,
            created_ms=row.sending_at,
            zone=zone_of(row.budget_day),
        ),
    )
    if isinstance(moved, Moved):
        reconciliation.book_billed(tx, attempt_id, micros=0)
    return moved
