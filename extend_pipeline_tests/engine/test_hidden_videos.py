"""What waits for a person while a mistake in the files hides its video: the video has not left the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.leftover_tasks import leftover_tasks
from extend_pipeline.engine.needs import DOUBT_S, Need, needs_now
from extend_pipeline.engine.status import status
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, source_id
from extend_pipeline_tests.support.user_texts import check_user_text

Hide = Callable[[EngineHome, Sequence[dict[str, Any]]], None]


def copied(home: EngineHome, entries: Sequence[dict[str, Any]]) -> None:
    """Leave a copy of the catalogue beside it, so that each key stands twice."""
    (home.path / "catalog").mkdir()
    (home.path / "catalog" / "old copy.yaml").write_bytes((home.path / "catalog.yaml").read_bytes())


def misspelt(home: EngineHome, entries: Sequence[dict[str, Any]]) -> None:
    """Misspell a field of the first entry."""
    home.catalogue([{**entries[0], "extent": {}}, *entries[1:]])


def hide(pipeline: Pipeline, how: Hide, home: EngineHome, entries: Sequence[dict[str, Any]]) -> None:
    """Make a mistake that hides the first video, and read the files again."""
    how(home, entries)
    pipeline.refresh()
    assert pipeline.configuration.problems
    assert "v000" not in pipeline.configuration.catalogue.videos


def of(pipeline: Pipeline, kind: str) -> list[Need]:
    """Return what waits of a kind."""
    return [need for need in needs_now(pipeline) if need.kind == kind]


@pytest.mark.parametrize("how", [copied, misspelt])
def test_a_doubt_may_be_paid_for_again_and_stays_the_same_thing(how: Hide, home: EngineHome) -> None:
    home.account = {"submit_class": "C"}
    entries = home.seeded(2)
    home.sandbox.faults([{"kind": "reset_before", "where": "submit", "match": {"video_id": source_id(0)}}])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        assert advance(pipeline, publish=False).submitted.in_doubt == ["v000/1"]
        (before,) = of(pipeline, "in_doubt")
        hide(pipeline, how, home, entries)
        (doubt,) = status(pipeline).doubts
        assert doubt.is_declared
        (need,) = of(pipeline, "in_doubt")
        assert (need.ids, need.is_urgent) == (before.ids, False)
        assert len(needs_now(pipeline)) == 2  # and the mistake
        clock.skip(DOUBT_S * 1000 + 60_000)
        (need,) = of(pipeline, "in_doubt")
        assert (need.ids, need.is_urgent) == (before.ids, True)
        check_user_text(need.todo)


def test_a_doubt_that_is_looked_up_waits_for_no_person_while_it_is_hidden(home: EngineHome) -> None:
    entries = home.seeded(1)
    home.sandbox.faults([{"kind": "reset_before", "where": "submit"}])
    with home.open(JumpClock()) as pipeline:
        assert advance(pipeline, publish=False).submitted.in_doubt == ["v000/1"]
        assert of(pipeline, "in_doubt") == []
        hide(pipeline, misspelt, home, entries)
        assert [need.kind for need in needs_now(pipeline)] == ["configuration"]


def test_an_overdue_task_stays_the_same_thing(make_home: Callable[..., EngineHome]) -> None:
    home = make_home(run_time=(10**6, 10**6))
    entries = home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        clock.skip(pipeline.accounts["k"].patience_s * 1000 + 60_000)
        (before,) = of(pipeline, "overdue")
        hide(pipeline, misspelt, home, entries)
        (need,) = of(pipeline, "overdue")
        assert (need.ids, need.todo, of(pipeline, "left_over")) == (before.ids, before.todo, [])
        check_user_text(need.message)
        assert leftover_tasks(pipeline), "a round need not wait for it"
        home.catalogue([])
        pipeline.refresh()
        assert [need.where for need in of(pipeline, "left_over")] == ["v000/1"]
