"""Paid tasks of videos that were removed from the catalogue and that need an operator. No plan contains them."""

from dataclasses import dataclass

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.hop_state import Blocked, classify_hop
from extend_pipeline.ledger.read import open_work, queries


@dataclass(frozen=True, slots=True)
class LeftoverTask:
    """A task that has run longer than its account's `patience`, or whose file can't be fetched. Polling and fetching
    continue."""

    video_key: str
    hop: int
    account: str
    task_id: str
    message: str
    todo: str


def leftover_tasks(pipeline: Pipeline) -> tuple[LeftoverTask, ...]:
    """Return the leftover tasks; reads the results to fetch and the tasks that have run for long."""
    catalogue, accounts = pipeline.configuration.catalogue.videos, pipeline.accounts
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
            message = f"{blocker.message}; the catalogue has no such video now"
            tasks.append(LeftoverTask(row.video_key, row.hop, row.account, row.task, message, blocker.todo))
    return tuple(tasks)
