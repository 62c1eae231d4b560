"""Invalid seconds in a run's configuration fail the run with a message, before anything is sent."""

from __future__ import annotations

import math

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.jobs.durations import usable_seconds
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.mark.parametrize("seconds", [-1.0, 0.0, math.nan, math.inf, -math.inf, 1e300, 604_801])
def test_seconds_that_cannot_be_used_are_refused_by_name(seconds: float) -> None:
    with pytest.raises(dg.Failure) as raised:
        usable_seconds("max_seconds", seconds)
    assert "max_seconds" in str(raised.value.description)
    assert raised.value.allow_retries is False


def test_seconds_that_can_be_used_are_returned() -> None:
    assert usable_seconds("max_seconds", 0.5) == 0.5
    assert usable_seconds("linger_s", 0.0, zero=True) == 0.0


def test_a_run_with_negative_seconds_fails_and_sends_nothing(place: Place) -> None:
    place.write([video("untouched")])
    with pytest.raises(dg.Failure) as raised:
        place.advance(max_seconds=-1.0)
    check_user_text(str(raised.value.description))
    assert place.submits("untouched") == 0
