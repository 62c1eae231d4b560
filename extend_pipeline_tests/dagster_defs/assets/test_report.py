"""The asset extension_report: what a run of report_job writes and records, and how it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from extend_pipeline.dagster_defs import build
from extend_pipeline.dagster_defs.assets.report import EXTENSION_REPORT
from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import OWN, Mount
from extend_pipeline.warehouse.read import meta, query
from extend_pipeline_tests.dagster_defs.assets.synced import TABLES, unsynced
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place, instance_at
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

ALL = (*TABLES, "extension_report")


def report(place: Place) -> dg.ExecuteInProcessResult:
    """Run report_job."""
    job = place.defs.resolve_job_def(place.mount.name("report_job"))
    return job.execute_in_process(instance=place.instance, raise_on_error=False)


def recorded(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """Return the metadata of the one materialization of a run."""
    [event] = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def message(result: dg.ExecuteInProcessResult) -> str:
    """Return why the step of a run failed."""
    [failed] = [event.step_failure_data for event in result.get_step_failure_events()]
    assert failed.user_failure_data is not None
    return str(failed.user_failure_data.description)


def test_a_run_writes_the_file_records_its_numbers_and_reads_synced(place: Place, tmp_path: Path) -> None:
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
    with instance_at(tmp_path / "dagster") as place.instance:
        assert place.advance().success
        assert unsynced(place.instance, [], tables=ALL) == {"extension_report": "MISSING"}
        state = place.home / "state"
        published = (state / "warehouse.duckdb").stat()
        result = report(place)
        assert result.success
        assert unsynced(place.instance, [], tables=ALL) == {}
        # the file is read, and not published again
        assert (state / "warehouse.duckdb").stat().st_mtime_ns == published.st_mtime_ns

        metadata = recorded(result)
        about = meta(state / "warehouse.duckdb")
        assert about is not None
        [[spent]] = query(state / "warehouse.duckdb", "SELECT sum(spent_amount) FROM cost_by_account").rows
        page = (state / "report.html").read_text(encoding="utf-8")
        expected = {
            "videos_complete": 2,
            "videos_growing": 0,
            "videos_waiting_for_a_person": 0,
            "extensions": 2,
            "spent_USD": f"{spent:f}",
            "plot_spent_USD": float(spent),
            "file": str(state / "report.html"),
            "bytes": len(page.encode()),
            "ledger_seq": about.ledger_seq,
            "published_at": about.published_at.timestamp(),
        }
        assert {name: metadata[name] for name in expected} == expected
        assert 0 <= metadata["age_hours"] < 1
        assert "2 videos finished" in metadata["summary"]

        place.write([video(key, extend=ONE_HOP) for key in ("one", "two", "three")])
        assert place.advance().success
        assert unsynced(place.instance, [], tables=ALL) == {"extension_report": ", ".join(["DATA"] * len(TABLES))}
        assert report(place).success
        assert unsynced(place.instance, [], tables=ALL) == {}


def test_in_a_home_that_has_published_nothing_it_says_what_to_run(place: Place) -> None:
    place.write([video("one")])
    result = report(place)
    assert not result.success
    check_user_text(message(result))
    assert not (place.home / "state" / "report.html").exists()


def test_a_place_that_can_t_be_written_is_named_and_nothing_is_left_there(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    assert place.advance().success
    (place.home / "state" / "report.html").mkdir()
    result = report(place)
    assert not result.success
    check_user_text(message(result))
    assert not list((place.home / "state").glob(".report*"))


def test_it_is_an_asset_like_the_tables_and_has_the_names_of_its_mount(place: Place) -> None:
    mount = Mount(
        key_prefix=("films",), group_name="clips", tags={"tier": "1"}, owners=("team:studio",), schedules="running"
    )
    defs = build_mounted(mount, place.resource)
    graph = defs.resolve_asset_graph()
    node, table = (graph.get(mount.asset(key)) for key in (EXTENSION_REPORT, dg.AssetKey("extension_costs")))
    assert node.parent_keys == {mount.asset(dg.AssetKey(name)) for name in TABLES}
    for name in ("group_name", "owners", "partitions_def"):
        assert getattr(node, name) == getattr(table, name), name
    assert node.tags.items() >= {"tier": "1", "dagster/kind/html": ""}.items()
    assert node.code_version is not None
    assert node.description is not None
    assert "dagster/code_references" in node.metadata
    schedule = defs.resolve_schedule_def("films_report_schedule")
    assert schedule.job_name == "films_report_job"
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING

    films = replace(place, mount=mount, defs=defs)
    films.write([video("one", extend=ONE_HOP)])
    assert films.advance().success
    assert report(films).success
    assert films.count("extension_report") == 1


def test_without_the_extra_there_is_no_report_and_all_else_is_as_before(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(defs: dg.Definitions) -> set[str]:
        repository = defs.get_repository_def()
        assets = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
        named = (*repository.get_all_jobs(), *repository.schedule_defs, *repository.sensor_defs)
        return assets | {each.name for each in named}

    with_it = names(place.defs)
    monkeypatch.setattr(build, "is_installed", lambda: False)
    without = names(build_mounted(OWN, place.resource))
    assert with_it - without == {"extension_report", "report_job", "report_schedule"}
    assert without < with_it
