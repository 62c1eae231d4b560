"""Signs of life of runs: a run whose process is gone is ended with a reason, and holds back no other."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.events import PIPELINE_RUN_STATUS_TO_EVENT_TYPE as EVENT_TYPES

from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB
from extend_pipeline.dagster_defs.jobs.alive import (
    CANCEL_S,
    NO_SIGN_S,
    SIGN_EVERY_S,
    SIGNS_KEY,
    SILENCE_S,
    UNCHANGED_S,
    over,
    unfinished_runs,
)
from extend_pipeline_tests.dagster_defs.conftest import Place
from extend_pipeline_tests.dagster_defs.jobs.test_killed_runs import last_message
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

STARTED: Final = DagsterRunStatus.STARTED
CANCELING: Final = DagsterRunStatus.CANCELING


def begun(place: Place, status: DagsterRunStatus = STARTED, *, job: str = ADVANCE_JOB) -> dg.DagsterRun:
    """Return a run in a status that no process works on."""
    run = place.instance.create_run_for_job(place.defs.resolve_job_def(job))
    for step in (DagsterRunStatus.STARTING, STARTED, status):
        event = dg.DagsterEvent(event_type_value=EVENT_TYPES[step].value, job_name=job)
        place.instance.report_dagster_event(event, run_id=run.run_id)
        if step is status:
            break
    return run


def give_sign(place: Place, run: dg.DagsterRun, *, age_s: float) -> None:
    """Write a sign of life of a run that is so old."""
    place.instance.daemon_cursor_storage.set_cursor_values({SIGNS_KEY: json.dumps({run.run_id: time.time() - age_s})})


def signs(place: Place) -> dict[str, float]:
    """Return the signs of life that the instance has."""
    text = place.instance.daemon_cursor_storage.get_cursor_values({SIGNS_KEY}).get(SIGNS_KEY, "{}")
    return dict(json.loads(text))


def look_twice(place: Place) -> list[str]:
    """Look at the runs now, and when the signs were seen for long enough; return those that are left."""
    now = time.monotonic()
    unfinished_runs(place.instance, ADVANCE_JOB, monotonic_s=now)
    left = unfinished_runs(place.instance, ADVANCE_JOB, monotonic_s=now + UNCHANGED_S)
    return [run.run_id for run in left]


def status_of(place: Place, run: dg.DagsterRun) -> str:
    found = place.instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status.value


@pytest.mark.parametrize(("status", "end"), [(STARTED, "FAILURE"), (CANCELING, "CANCELED")])
def test_a_silent_run_is_ended_and_the_next_one_is_asked_for(status: DagsterRunStatus, end: str, place: Place) -> None:
    place.write([video("one")])
    place.sensor("catalog_sensor")
    run = begun(place, status)
    give_sign(place, run, age_s=SILENCE_S - 10)
    assert run.run_id in place.sensor("kling_poll_sensor").skip_message
    give_sign(place, run, age_s=SILENCE_S + 1)
    unfinished_runs(place.instance, ADVANCE_JOB, monotonic_s=time.monotonic() - UNCHANGED_S)
    assert len(place.sensor("kling_poll_sensor").run_requests) == 1
    assert (status_of(place, run), signs(place)) == (end, {})
    check_user_text(last_message(place.instance, run.run_id))


@pytest.mark.parametrize("ahead_s", [-SILENCE_S - 1, -7200.0])
def test_a_sign_from_a_clock_that_was_set_back_counts_for_a_minute(ahead_s: float, place: Place) -> None:
    run = begun(place)
    give_sign(place, run, age_s=ahead_s)
    assert look_twice(place) == []
    assert status_of(place, run) == "FAILURE"


def test_a_run_of_another_job_that_is_gone_holds_no_slot(place: Place) -> None:
    run = begun(place, job="reconcile_job")
    give_sign(place, run, age_s=SILENCE_S + 1)
    assert look_twice(place) == []
    assert status_of(place, run) == "FAILURE"


def test_an_old_sign_that_is_renewed_between_two_looks_ends_no_run(place: Place) -> None:
    """A computer that has slept, or one whose clock is two minutes behind."""
    run = begun(place)
    for monotonic_s in (0.0, UNCHANGED_S, 2 * UNCHANGED_S):
        give_sign(place, run, age_s=2 * SILENCE_S + 0.001 * monotonic_s)
        left = unfinished_runs(place.instance, ADVANCE_JOB, monotonic_s=monotonic_s)
        assert [each.run_id for each in left] == [run.run_id]
    assert status_of(place, run) == "STARTED"


def test_sensors_that_look_at_the_same_time_end_a_run_once(place: Place) -> None:
    run = begun(place)
    give_sign(place, run, age_s=SILENCE_S + 1)
    now = time.monotonic()
    unfinished_runs(place.instance, ADVANCE_JOB, monotonic_s=now)
    with ThreadPoolExecutor(4) as pool:
        looks = [
            pool.submit(unfinished_runs, place.instance, ADVANCE_JOB, monotonic_s=now + UNCHANGED_S) for _ in range(4)
        ]
        assert [look.result() for look in looks] == [[], [], [], []]
    ends = place.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("status", "limit_s", "end"),
    [
        (DagsterRunStatus.STARTING, NO_SIGN_S, "FAILURE"),
        (STARTED, NO_SIGN_S, "FAILURE"),
        (CANCELING, CANCEL_S, "CANCELED"),
    ],
)
def test_a_run_that_is_stuck_without_a_sign_is_ended_at_last(
    status: DagsterRunStatus, limit_s: float, end: str, place: Place
) -> None:
    run = begun(place, status)
    now_s, monotonic_s = time.time(), time.monotonic()

    def left(after_s: float, *, looked_s: float = 0.0) -> list[str]:
        unfinished_runs(place.instance, "advance_job_of_another_mount")  # its sensors look between
        found = unfinished_runs(place.instance, ADVANCE_JOB, now_s=now_s + after_s, monotonic_s=monotonic_s + looked_s)
        return [each.run_id for each in found]

    assert left(limit_s - 20) == [run.run_id]
    assert left(limit_s + 1, looked_s=UNCHANGED_S) == []
    assert status_of(place, run) == end
    check_user_text(last_message(place.instance, run.run_id))


def test_a_queued_run_may_wait_for_hours(place: Place) -> None:
    run = place.queue()
    left = unfinished_runs(place.instance, ADVANCE_JOB, now_s=time.time() + 6 * 3600)
    assert [found.run_id for found in left] == [run.run_id]


def _job_of(place: Place, work: Callable[[dg.OpExecutionContext], None]) -> dg.ExecuteInProcessResult:
    """Run a job of one op that has the home."""

    @dg.op(required_resource_keys={"home"})
    def look(context: dg.OpExecutionContext) -> None:
        work(context)

    job = dg.JobDefinition(name="look", graph_def=dg.GraphDefinition("look", node_defs=[look]))
    return job.execute_in_process(instance=place.instance, resources={"home": place.resource})


def test_a_long_run_whose_end_is_being_written_is_not_taken_for_one_without_a_sign(place: Place) -> None:
    run = begun(place)
    now_s = time.time() + 2 * NO_SIGN_S
    give_sign(place, run, age_s=-2 * NO_SIGN_S)
    assert len(unfinished_runs(place.instance, ADVANCE_JOB, now_s=now_s, monotonic_s=0.0)) == 1
    place.instance.daemon_cursor_storage.set_cursor_values({SIGNS_KEY: "{}"})  # its resources are closed
    assert len(unfinished_runs(place.instance, ADVANCE_JOB, now_s=now_s, monotonic_s=UNCHANGED_S)) == 1
    assert status_of(place, run) == "STARTED"
    assert unfinished_runs(place.instance, ADVANCE_JOB, now_s=now_s, monotonic_s=2 * UNCHANGED_S) == []


def test_a_run_gives_signs_while_it_goes_on_and_leaves_none(place: Place) -> None:
    seen: list[dict[str, float]] = []
    result = _job_of(place, lambda _: seen.append(signs(place)))
    assert [*seen[0]] == [result.run_id]
    assert abs(time.time() - seen[0][result.run_id]) < SILENCE_S
    assert signs(place) == {}


def test_a_run_that_others_have_ended_learns_it(place: Place) -> None:
    learned: list[bool] = []

    def work(context: dg.OpExecutionContext) -> None:
        place.instance.report_run_failed(context.run, "taken for gone")
        learned.append(over(context.run_id).wait(3 * SIGN_EVERY_S))

    _job_of(place, work)
    assert learned == [True]
