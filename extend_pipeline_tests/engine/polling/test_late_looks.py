"""A process that was stopped while it looked at an attempt writes down what it saw long after others have finished it:
that wakes nobody up again."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.drive import next_wait_ms
from extend_pipeline.engine.polling.apply_task_state import observe
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import POLLED
from extend_pipeline.ledger.write import job_queue
from extend_pipeline.providers.protocol import Answer, NotFound, QueryFailed, QueryFault, QueryOutcome
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, drive

WAITS = {"k": job_queue.MaxWaits(DAY_MS, DAY_MS)}
LATE_ANSWERS = [QueryFailed(QueryFault.UNREACHABLE, Answer("no answer came")), NotFound(Answer("no such task"))]


@pytest.mark.parametrize("answer", LATE_ANSWERS, ids=lambda answer: type(answer).__name__)
def test_a_look_that_is_written_down_after_the_end_is_no_reason_to_look_again(
    answer: QueryOutcome, home: EngineHome
) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        clock.skip(60_000)
        with pipeline.ledger.write(now_ms=clock(), actor="stopped") as tx:
            taken = job_queue.claim_due(tx, states=POLLED, accounts=WAITS, lease_ms=1_000, limit=9, owner="stopped")
        assert len(taken) == 1
        drive(pipeline)  # others finish it
        with pipeline.ledger.write(now_ms=clock(), actor="stopped") as tx:
            observe(tx, pipeline, taken[0], answer)
        with pipeline.ledger.read() as connection:
            assert connection.execute(select(tables.schedule)).all() == []
        clock.skip(DAY_MS)
        assert next_wait_ms(pipeline, advance(pipeline, publish=False)) is None
