"""A machine that can't probe a film for the moment: the film waits, is never called broken or lost, and is stored once
the machine can probe again. A film that itself ends the worker is quarantined."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.isolation.pool import WorkerPool, shared_pool
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.fixture(autouse=True)
def _no_worker_left() -> None:
    """End the idle workers of other tests."""
    shared_pool(isolated_probe.READ).close()


def states(pipeline: Pipeline) -> list[str]:
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(tables.attempts.c.state)).scalars())


def notes(pipeline: Pipeline) -> list[str]:
    with pipeline.ledger.read() as connection:
        return list(connection.execute(select(tables.schedule.c.note)).scalars())


def finishes(home: EngineHome, pipeline: Pipeline, charges: int) -> None:
    assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
    totals = reckon(home, pipeline.ledger)
    assert (totals.charges, set(totals.states)) == (charges, {"stored"})


def test_a_film_waits_while_no_process_can_be_started(home: EngineHome) -> None:
    home.seeded(3, steps=1)
    clock = JumpClock()
    with home.open(clock) as pipeline, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        for _ in range(6):
            advance(pipeline, publish=False)
            clock.skip(700_000)
        assert states(pipeline) == ["succeeded"] * 3
        [note] = set(notes(pipeline))
        check_user_text(note)
        assert not [path for path in home.settings.media_dir.rglob("*") if path.is_file()]
        patch.undo()
        finishes(home, pipeline, 3)


def test_a_film_that_could_not_be_probed_is_not_lost_when_its_keeping_time_is_over(home: EngineHome) -> None:
    """Its URL still works: that the machine can't probe the film is no reason to give it up."""
    home.seeded(1, steps=1)
    clock = JumpClock()
    with home.open(clock) as pipeline, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        for _ in range(3):
            advance(pipeline, publish=False)
            clock.skip(5_000)
        clock.skip(31 * DAY_MS)
        for _ in range(3):
            advance(pipeline, publish=False)
            clock.skip(700_000)
        assert states(pipeline) == ["succeeded"]
        patch.undo()
        finishes(home, pipeline, 1)


def test_a_source_that_could_not_be_probed_is_fetched_again(home: EngineHome) -> None:
    other_home(home, "vidu")
    clock = JumpClock()
    with home.open(clock) as pipeline, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        advance(pipeline, publish=False)
        assert home.sandbox.charges()["charges"] == [], "nothing is paid for a source that was not measured"
        patch.undo()
        clock.skip(700_000)
        finishes(home, pipeline, 1)


def test_a_film_waits_where_no_worker_can_be_started_after_its_check(home: EngineHome) -> None:
    """The film is in the store by then; only its poster and its seam are missing."""
    home.seeded(1, steps=1)
    clock = JumpClock()
    original = WorkerPool.run

    def only_checks(workers: WorkerPool, task: dict[str, object], **options: float | None) -> object:
        if task["do"] != "check":
            raise isolated_probe.ProbeUnavailable("no memory for it")
        return original(workers, task, **options)

    with home.open(clock) as pipeline, pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerPool, "run", only_checks)
        for _ in range(3):
            advance(pipeline, publish=False)
            clock.skip(5_000)
        assert states(pipeline) == ["succeeded"]
        patch.undo()
        finishes(home, pipeline, 1)


def test_a_film_that_ends_every_worker_is_quarantined_after_two_fetches(home: EngineHome, tmp_path: Path) -> None:
    crashing = tmp_path / "crashing"  # in place of Python: ends by SIGSEGV at the first task, as a decoder's bug does
    crashing.write_text("#!/bin/sh\necho '{\"ok\": true}'\nread -r task\nkill -SEGV $$\n")
    crashing.chmod(0o700)
    home.seeded(2, steps=1)
    clock = JumpClock()
    with home.open(clock) as pipeline, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", str(crashing))
        for _ in range(4):
            advance(pipeline, publish=False)
            clock.skip(700_000)
        assert states(pipeline) == ["quarantined"] * 2
        quarantined = list((home.settings.media_dir / "quarantine").iterdir())
        assert len(quarantined) == 2, "what was paid for is kept"
