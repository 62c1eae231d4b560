"""A process that was stopped while it polled an attempt records the outcome long after others have finished it: that
schedules no further look."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.drive import next_wait_ms
from extend_pipeline.engine.polling.apply_task_state import observe
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.providers.protocol import Answer, NotFound, QueryFailed, QueryFault, QueryOutcome
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, drive

WAITS = {"k": job_queue.MaxWaits(DAY_MS, DAY_MS)}
LATE_OUTCOMES = [QueryFailed(QueryFault.UNREACHABLE, Answer("no answer came")), NotFound(Answer("no such task"))]


@pytest.mark.parametrize("outcome", LATE_OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_a_poll_recorded_after_the_end_schedules_no_other(outcome: QueryOutcome, home: EngineHome) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        clock.skip(60_000)
        with pipeline.ledger.write(now_ms=clock(), actor="stopped") as tx:
            claimed = job_queue.lease_tasks(tx, accounts=WAITS, lease_ms=1_000, limit=9, owner="stopped")
        assert len(claimed) == 1
        drive(pipeline)  # another worker finishes it
        with pipeline.ledger.write(now_ms=clock(), actor="stopped") as tx:
            observe(tx, pipeline.accounts["k"], claimed[0], outcome)
            job_queue.still_running(tx, [claimed[0].attempt_id], due_at=clock())
        with pipeline.ledger.read() as connection:
            assert connection.execute(select(tables.schedule)).all() == []
        clock.skip(DAY_MS)
        assert next_wait_ms(pipeline, advance(pipeline, publish=False)) is None
