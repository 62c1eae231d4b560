"""Paid tasks that are in no plan and need an operator, because their videos were removed from the catalogue, or may be
hidden by a mistake in the files."""

from dataclasses import dataclass
from typing import Final

from extend_pipeline.engine.guards.process import MAY_BE_HIDDEN
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.hop_state import Blocked, classify_hop
from extend_pipeline.ledger.read import open_work, queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow

LEFT_OVER: Final = "left_over"


@dataclass(frozen=True, slots=True)
class LeftoverTask:
    """A task that has run longer than its account's `patience`, or whose file can't be fetched. Polling and fetching
    continue. `kind` is LEFT_OVER if its video was removed from the catalogue. If a mistake may hide it, `kind` is the
    block reason that its plan would give, and `attempt` is set, so that an alert takes it for the same thing."""

    video_key: str
    hop: int
    account: str
    task_id: str
    message: str
    todo: str
    kind: str = LEFT_OVER
    attempt: AttemptRow | None = None


def leftover_tasks(pipeline: Pipeline) -> tuple[LeftoverTask, ...]:
    """Return the leftover tasks; reads the results to fetch and the tasks that have run for long."""
    catalogue, accounts = pipeline.configuration.catalogue.videos, pipeline.accounts
    may_be_hidden = bool(pipeline.configuration.problems)
    why = MAY_BE_HIDDEN if may_be_hidden else "the catalogue has no such video now"
    patience_s = min((account.patience_s for account in accounts.values()), default=0)
    before_ms = pipeline.now_ms() - int(patience_s * 1000)
    with pipeline.ledger.read() as connection:
        paid = open_work.paid_tasks(connection, before_ms=before_ms)
        rows = [row for row in paid if row.video_key not in catalogue and row.account in accounts]
        hints = queries.hints(connection, [row.attempt_id for row in rows])
    looks = {key: hint.look for key, hint in hints.items()}
    tasks = []
    for row in rows:
        hop_state = classify_hop(row.where, [row], looks, accounts[row.account], pipeline.now_ms())
        if isinstance(hop_state, Blocked):
            blocker = hop_state.blocker
            task = LeftoverTask(
                row.video_key,
                row.hop,
                row.account,
                row.task,
                f"{blocker.message}; {why}",
                blocker.todo,
                blocker.reason.value if may_be_hidden else LEFT_OVER,
                row if may_be_hidden else None,
            )
            tasks.append(task)
    return tuple(tasks)
