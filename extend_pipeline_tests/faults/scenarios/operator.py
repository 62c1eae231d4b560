"""The operator's decisions about what a crash has left: adopt the task that the provider's console shows, else pay for
another try; and lift a stop."""

from __future__ import annotations

from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline_tests.faults.homes.scenario_home import ScenarioHome
from extend_pipeline_tests.support.harness.charges import attempts_in, tasks_of
from extend_pipeline_tests.support.harness.operator import Decision, attempts_to_decide

S = AttemptState

_ENDED = (S.REJECTED, S.RELEASED, S.FAILED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF)


def unfinished(ledger: Ledger) -> list[str]:
    """Return the videos that are not complete, each with its state and the reason."""
    table = tables.videos
    with ledger.read() as connection:
        rows = connection.execute(select(table).where(table.c.state != VideoState.COMPLETE.value)).all()
    return [f"{row.video_key} is {row.state}: {row.state_reason} {row.state_detail}" for row in rows]


def decisions(home: ScenarioHome, ledger: Ledger) -> tuple[Decision, ...]:
    """Return the decisions to be made now."""
    with ledger.read() as connection:
        stopped = connection.execute(
            select(tables.accounts.c.account).where(tables.accounts.c.stopped_reason.isnot(None))
        )
        if stopped.first() is not None:
            return (Decision("resume"),)  # the steps that were refused meanwhile are tried again then
        table = tables.videos
        query = select(table.c.video_key).where(table.c.state == VideoState.BLOCKED.value)
        blocked = set(connection.execute(query).scalars())
    attempts = sorted(attempts_in(ledger), key=lambda row: (row.generation, row.try_no))
    taken = {row.task_id for row in attempts}
    decided: list[Decision] = []
    for row in attempts_to_decide(attempts):
        where = f"{row.video_key}/{row.hop}"
        if row.video_key not in blocked:
            continue
        if row.state == S.IN_DOUBT:
            tasks = tasks_of(row, home.tasks(), taken)
            if tasks:
                taken.add(tasks[0]["task_id"])
                decided.append(Decision("adopt", where, tasks[0]["task_id"]))
            else:
                decided.append(Decision("resubmit", where))
        elif row.state in _ENDED and not row.resubmit_allowed:
            decided.append(Decision("resubmit", where))
    return tuple(decided)
