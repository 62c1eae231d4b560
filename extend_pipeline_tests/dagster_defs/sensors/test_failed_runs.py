"""Failed runs are read in the order of their ends, from Dagster's SQLite files too, and by a place that stays small."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.sensors import failed_runs
from extend_pipeline.dagster_defs.sensors.failed_runs import Own, failures_after, newest_failure
from extend_pipeline_tests.support.user_texts import check_user_text

FILMS = dg.AssetKey(["films", "source_videos"])
OWN = Own({"films_advance_job"}, {FILMS})


@dg.op(config_schema=str)
def fail(context: dg.OpExecutionContext) -> None:
    match context.op_config:
        case "failure":
            raise dg.Failure("2 of 3 videos are not complete:\none: no budget")
        case "taken for gone":
            context.instance.report_run_failed(context.run, "it has given no sign of life")
        case "error":
            raise ValueError("\nno such file at https://example.com/film.mp4?signature=abc\nmore")


@dg.job
def films_advance_job() -> None:
    fail()


@dg.job
def other_job() -> None:
    fail()


@dg.asset(key=FILMS)
def source_videos() -> None:
    raise ValueError("of an asset")


@dg.asset
def another() -> None:
    raise ValueError("of another asset")


@pytest.fixture(params=["memory", "sqlite"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    opened = (
        dg.DagsterInstance.ephemeral() if request.param == "memory" else dg.DagsterInstance.local_temp(str(tmp_path))
    )
    with opened as instance:
        yield instance


def run(instance: dg.DagsterInstance, job: dg.JobDefinition, how: str) -> str:
    config = {"ops": {"fail": {"config": how}}}
    return job.execute_in_process(instance=instance, run_config=config, raise_on_error=False).run_id


def test_a_run_that_was_taken_for_gone_and_ends_well_is_no_failure(instance: dg.DagsterInstance) -> None:
    gone = run(instance, films_advance_job, "taken for gone")
    ended = instance.get_run_by_id(gone)
    assert ended is not None
    assert ended.status is dg.DagsterRunStatus.SUCCESS
    failed, place = failures_after(instance, OWN, 0, url=None)
    assert (failed, place) == ([], newest_failure(instance))
    assert place > 0


def test_only_own_failures_after_a_place_are_read_and_each_once(instance: dg.DagsterInstance) -> None:
    assert (newest_failure(instance), failures_after(instance, OWN, 0, url=None)) == (0, ([], 0))
    run(instance, films_advance_job, "failure")
    start = newest_failure(instance)
    assert start > 0
    first = run(instance, films_advance_job, "failure")
    run(instance, other_job, "error")
    run(instance, films_advance_job, "none")
    second = run(instance, films_advance_job, "error")
    implicit = dg.Definitions(assets=[source_videos, another]).resolve_implicit_global_asset_job_def()
    assets = [
        implicit.execute_in_process(instance=instance, asset_selection=[key], raise_on_error=False).run_id
        for key in (FILMS, dg.AssetKey("another"))
    ]
    failed, place = failures_after(instance, OWN, start, url="https://d.example.com")
    assert [(entry.run_id, entry.job, entry.url) for entry in failed] == [
        (first, "films_advance_job", f"https://d.example.com/runs/{first}"),
        (second, "films_advance_job", f"https://d.example.com/runs/{second}"),
        (assets[0], "__ASSET_JOB", f"https://d.example.com/runs/{assets[0]}"),
    ]
    for entry in failed:
        check_user_text(entry.error)
    assert place == newest_failure(instance)
    assert failures_after(instance, OWN, place, url=None) == ([], place)


def test_many_failures_are_read_a_part_at_a_time(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_runs, "MAX_EVENTS", 2)
    ids = [run(instance, films_advance_job, "failure") for _ in range(3)]
    some, place = failures_after(instance, OWN, 0, url=None)
    rest, place = failures_after(instance, OWN, place, url=None)
    assert [entry.run_id for entry in (*some, *rest)] == ids
    assert len(some) == 2
    assert place == newest_failure(instance)


def test_a_place_of_runs_that_were_removed_begins_anew(instance: dg.DagsterInstance) -> None:
    run(instance, films_advance_job, "failure")
    assert failures_after(instance, OWN, 10**6, url=None) == ([], newest_failure(instance))
