"""Adopt the task of an attempt that was written off, once a response of the provider names the task."""

from extend_pipeline.base.days import zone_of
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import reconciliation
from extend_pipeline.ledger.write.reconciliation import UnmatchedTask
from extend_pipeline.ledger.write.transitions import Moved, Stale


def adopt_late_task(tx: LedgerTransaction, attempt_id: str, *, task_id: str) -> Moved | Stale:
    """Adopt the task as an attempt of its own, so that its film is fetched, and move to it the charge that was booked
    for the write-off. The written-off attempt stays closed, because its hop may have been paid for again.

    Return Stale if the attempt is not written off, or has a task, or if another attempt has this task.
    """
    row = tx.rows.attempt(attempt_id)
    if row is None or row.state is not S.WRITTEN_OFF or row.task_id is not None:
        return Stale(attempt_id, None if row is None else row.state)
    moved = reconciliation.adopt_unmatched(
        tx,
        UnmatchedTask(
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
