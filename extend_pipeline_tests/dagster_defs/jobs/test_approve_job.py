"""Edits that would pay again are decided in Dagster."""

from __future__ import annotations

import dagster as dg
import pytest

from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


def _planned(place: Place) -> tuple[VideoPlan, ...]:
    """Return the plans of a home's videos."""
    with place.resource.open() as pipeline:
        return plan(plan_input(pipeline)).videos


def test_edits_are_decided_in_dagster_too(place: Place) -> None:
    place.write([video("one")])
    place.advance()
    place.write([video("one", extend={"steps": 2, "prompt": "the fog lifts."})])
    place.advance()
    assert [entry.edit is not None for entry in _planned(place)] == [True]
    job = place.defs.resolve_job_def("approve_job")
    config = {"ops": {"approve": {"config": {"decision": "keep", "videos": ["one"]}}}}
    assert job.execute_in_process(instance=place.instance, run_config=config).success
    assert [entry.state for entry in _planned(place)] == [VideoState.COMPLETE]
    assert place.submits("one") == 1


def test_a_video_that_a_mistake_hides_is_refused_with_the_mistake(place: Place) -> None:
    place.write([video("one")])
    place.advance()
    place.write([video("one", extent={})])
    job = place.defs.resolve_job_def("approve_job")
    config = {"ops": {"approve": {"config": {"decision": "keep", "videos": ["one"]}}}}
    with pytest.raises(dg.Failure) as raised:
        job.execute_in_process(instance=place.instance, run_config=config)
    check_user_text(str(raised.value.description))
