"""Paid attempts are polled again though their schedule rows were lost; what no account can poll holds nothing up."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, select

from extend_pipeline.base import failpoints
from extend_pipeline.base.failpoints import FailpointError
from extend_pipeline.config.last_good import last_good_path
from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.drive import MAX_WAIT_MS, next_wait_ms
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive, entry, source_id
from extend_pipeline_tests.support.ledger.reckoning import reckon


def test_tasks_whose_schedule_rows_were_lost_are_polled_looked_up_and_fetched(home: EngineHome) -> None:
    entries = home.seeded(3)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        home.sandbox.faults([{"kind": "5xx_before", "where": "download", "times": 99}])
        home.catalogue(entries[2:])
        advance(pipeline, publish=False)
        clock.skip(1_000)
        advance(pipeline, publish=False)
        home.catalogue(entries)
        home.sandbox.faults([{"kind": "reset_after", "where": "submit", "match": {"video_id": source_id(0)}}])
        advance(pipeline, publish=False)
        home.sandbox.clear_faults()
        with pipeline.ledger.write(now_ms=clock(), actor="test") as tx:
            states = set(tx.connection.execute(select(tables.attempts.c.state)).scalars())
            tx.connection.execute(delete(tables.schedule))
        assert states == {"in_doubt", "submitted", "succeeded"}
        clock.skip(60_000)
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 3


@pytest.mark.parametrize("point", ["submit.after_post", "poll.before_query"])
def test_an_attempt_of_a_removed_account_holds_nothing_up_and_goes_on_when_it_is_back(
    point: str, home: EngineHome
) -> None:
    entries = home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        failpoints.arm(f"{point}=raise")
        with pytest.raises(FailpointError):
            drive(pipeline)
        failpoints.disarm()
    clock.skip(60_000)
    home.write([], account(home.sandbox.base_url, name="another"))
    last_good_path(home.settings.state_dir).unlink()  # it would go on with the account's entry as it last was
    with home.open(clock) as pipeline:
        assert next_wait_ms(pipeline, advance(pipeline, publish=False)) is None
        assert status(pipeline).unknown_accounts == (("k", 1),)
    home.write(entries)
    with home.open(clock) as pipeline:
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
        assert reckon(home, pipeline.ledger).charges == 1


def test_files_that_were_broken_in_the_middle_of_a_run_are_waited_for_without_haste(home: EngineHome) -> None:
    home.seeded(1)
    with home.open(JumpClock()) as pipeline:
        declare_catalogue(pipeline)
        (home.path / "catalog.yaml").write_text("{")
        now = advance(pipeline, publish=False)
        assert now.mistakes
        assert next_wait_ms(pipeline, advance(pipeline, publish=False)) == MAX_WAIT_MS
        assert home.sandbox.tasks() == []
        home.catalogue([entry("v000", source_id(0))])
        assert drive(pipeline).videos[0].state is VideoState.COMPLETE
