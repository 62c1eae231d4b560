"""Failed runs in the alerts of alert_sensor."""

from __future__ import annotations

import dagster as dg

from extend_pipeline_tests.dagster_defs.sensors.alert.conftest import (
    HOUR,
    SECRET,
    Ticks,
)
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text


def test_failed_runs_of_the_mount_are_reported_once_and_those_before_are_not(ticks: Ticks) -> None:
    section = {
        "webhook": ticks.receiver.url,
        "secret_env": SECRET,
        "allow_local": True,
        "dagster_url": "https://dagster.example.com",
    }
    ticks.write(video("one"), video("two"), alerts=section)
    ticks.place.sensor("catalog_sensor")

    def fail() -> str:
        result = ticks.place.defs.resolve_job_def("extend_job").execute_in_process(
            instance=ticks.place.instance,
            run_config={"ops": {"extend": {"config": {"videos": ["three"]}}}},
            raise_on_error=False,
        )
        assert not result.success
        return result.run_id

    @dg.op
    def burst() -> None:
        raise ValueError("of another project")

    @dg.job
    def other_job() -> None:
        burst()

    fail()
    ticks.tick()
    assert ticks.receiver.requests == [], "a new cursor begins now"
    failed = fail()
    other_job.execute_in_process(instance=ticks.place.instance, raise_on_error=False)
    ticks.tick()
    message = ticks.last
    (run,) = message["failed_runs"]
    assert (run["run_id"], run["job"], run["url"]) == (
        failed,
        "extend_job",
        f"https://dagster.example.com/runs/{failed}",
    )
    assert "Traceback" not in run["error"]
    check_user_text(run["error"])
    for _ in range(3):
        ticks.tick(HOUR)
    assert len(ticks.receiver.requests) == 1
    ticks.configure({**section, "failed_runs": False})
    fail()
    ticks.tick(HOUR)
    ticks.configure(section)
    ticks.tick(HOUR)
    assert len(ticks.receiver.requests) == 1


def test_a_run_whose_process_is_gone_is_reported(ticks: Ticks) -> None:
    ticks.write()
    ticks.tick()
    job = ticks.place.defs.resolve_job_def("advance_job")
    run = ticks.place.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    ticks.place.instance.report_run_failed(run, "This run is over: its process is gone.\nNothing is lost.")
    ticks.tick()
    (failed,) = ticks.last["failed_runs"]
    assert (failed["job"], failed["url"]) == ("advance_job", None)
    check_user_text(failed["error"])
