"""While work goes on, the pause between two publishes grows with what one costs; a publish by hand never waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.engine.dispatch import PLAN_EVERY_MS
from extend_pipeline.engine.drive import rounds
from extend_pipeline.engine.publish import (
    PAUSE,
    NotDue,
    NotPublished,
    next_publish_ms,
    publish_if_changed,
    publish_if_due,
    publish_last,
)
from extend_pipeline.ledger.read import queries
from extend_pipeline.warehouse.errors import PublishError
from extend_pipeline.warehouse.publish import AlreadyFresh, Cost, Published
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock
from extend_pipeline_tests.support.ledger.events import seed_video


@given(st.integers(0, 2**42), st.integers(0, 2**31))
def test_publishing_takes_at_most_its_share_of_the_time(began_ms: int, took_ms: int) -> None:
    pause_ms = next_publish_ms(Cost(began_ms, took_ms)) - (began_ms + took_ms)
    assert pause_ms == PAUSE * took_ms


def test_a_costly_publish_is_not_repeated_at_once(home: EngineHome) -> None:
    home.seeded(1)
    with home.open() as pipeline:
        assert isinstance(publish_if_due(pipeline), Published)  # what one costs is not known yet
        seed_video(pipeline.ledger, "one")
        lock = pipeline.settings.warehouse_path.with_name("warehouse.work.duckdb.lock")
        now_ms = pipeline.now_ms()
        lock.write_text(f"{now_ms} 60000")
        assert publish_if_due(pipeline) == NotDue(now_ms + 660_000)
        assert isinstance(publish_last(pipeline), Published)


@pytest.mark.parametrize("cost", ["{long_ago} 1000", "{ahead} 60000", "no numbers", ""])
def test_it_is_due_after_the_pause_and_when_the_clock_was_set_back(home: EngineHome, cost: str) -> None:
    home.seeded(1)
    with home.open() as pipeline:
        publish_if_changed(pipeline)
        seed_video(pipeline.ledger, "one")
        lock = pipeline.settings.warehouse_path.with_name("warehouse.work.duckdb.lock")
        now_ms = pipeline.now_ms()
        lock.write_text(cost.format(long_ago=now_ms - 11_001, ahead=now_ms + 60_000))
        assert isinstance(publish_if_due(pipeline), Published)
        assert isinstance(publish_if_changed(pipeline), AlreadyFresh)


def test_a_publish_that_fails_while_work_goes_on_ends_none_of_it(
    home: EngineHome, caplog: pytest.LogCaptureFixture
) -> None:
    home.seeded(3, steps=2)
    home.settings.warehouse_path.mkdir(parents=True)  # nothing can take its place
    clock = JumpClock()
    with home.open(clock) as pipeline:
        for _ in rounds(pipeline, max_seconds=60):
            clock.skip(PLAN_EVERY_MS)  # so that each plan is late enough for another publish
        assert any(record.name == "extend_pipeline.engine.publish" for record in caplog.records)
        assert publish_if_due(pipeline) == NotPublished()
        with pytest.raises(PublishError):
            publish_last(pipeline)
    with home.open() as pipeline, pipeline.ledger.read() as connection:
        assert [row.state for row in queries.videos(connection)] == ["complete"] * 3
