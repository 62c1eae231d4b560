"""What the pages of the six assets show: descriptions, kinds, owners, columns and where they come from, code, numbers;
and that a table is materialized alone."""

from __future__ import annotations

import asyncio
import datetime
import subprocess
import sys
from pathlib import Path

import dagster as dg
import duckdb
import pytest
import time_machine
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from pydantic import ValidationError

from extend_pipeline.dagster_defs.checks.ledger import CHECKS
from extend_pipeline.definitions import build_defs
from extend_pipeline.warehouse import schema
from extend_pipeline_tests.dagster_defs.assets.synced import TABLES, VIDEOS
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text

ASSETS = (*VIDEOS, *TABLES)


def spec(defs: dg.Definitions, name: str) -> dg.AssetSpec:
    return defs.resolve_assets_def(dg.AssetKey(name)).get_asset_spec(dg.AssetKey(name))


@pytest.mark.parametrize("name", ASSETS)
def test_the_definition_of_an_asset_answers_what_people_ask(tmp_path: Path, name: str) -> None:
    defs = build_defs(home=tmp_path, owners=["team:studio"], tags={"tier": "1"})
    asset = spec(defs, name)
    check_user_text(str(asset.description))
    assert list(asset.owners) == ["team:studio"]
    assert asset.tags["tier"] == "1"
    assert asset.code_version
    assert asset.kinds
    assert asset.freshness_policy is None
    columns = asset.metadata["dagster/column_schema"].columns
    assert all(column.description and column.type for column in columns)
    unique = [column.name for column in columns if column.constraints.unique]
    assert len(unique) == (0 if name == "extension_durations" else 1)
    (code,) = asset.metadata["dagster/code_references"].code_references
    line = Path(code.file_path).read_text(encoding="utf-8").splitlines()[code.line_number - 1]
    assert line.strip() == "@dg.multi_asset("


def test_columns_come_from_columns_of_the_asset_above(tmp_path: Path) -> None:
    defs = build_defs(home=tmp_path)
    known = {
        (dg.AssetKey(name), column.name)
        for name in VIDEOS
        for column in spec(defs, name).metadata["dagster/column_schema"].columns
    }
    lineages = {name: spec(defs, name).metadata.get("dagster/column_lineage") for name in ASSETS}
    assert lineages.pop("source_videos") is None
    for name, lineage in lineages.items():
        assert lineage is not None, name
        own = {column.name for column in spec(defs, name).metadata["dagster/column_schema"].columns}
        assert lineage.deps_by_column.keys() <= own
        assert {(dep.asset_key, dep.column_name) for deps in lineage.deps_by_column.values() for dep in deps} <= known

    def source(name: str, column: str) -> list[tuple[str, str]]:
        deps = lineages[name].deps_by_column.get(column, [])  # type: ignore[union-attr]
        return [(dep.asset_key.to_user_string(), dep.column_name) for dep in deps]

    assert source("extension_requests", "root_video_id") == [("source_videos", "source_video_id")]
    assert source("extension_requests", "state") == [], "the state of a request is not that of its video"
    assert source("completed_extensions", "task_id") == [("extension_requests", "task_id")]
    assert source("extension_lineage", "prompt") == [("extension_requests", "prompt")]
    assert source("extension_durations", "wait_s_max") == [("completed_extensions", "wait_s")]


def test_a_table_is_materialized_alone_with_its_checks(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    assert place.advance().success
    job = place.defs.resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(asset_selection=[dg.AssetKey("extension_lineage")], instance=place.instance)
    assert [event.asset_key.to_user_string() for event in result.get_asset_materialization_events()] == [
        "extension_lineage"
    ]
    checks = {event.check_name: event.passed for event in result.get_asset_check_evaluations()}
    assert checks == {key.name: True for key in CHECKS if key.asset_key.to_user_string() == "extension_lineage"}


def test_a_shell_materializes_one_table(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write([video("one", extend=ONE_HOP)])
    folder = tmp_path / "dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", str(place.home))
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "extend_pipeline.definitions"]
    ended = subprocess.run(
        [*command, "--select", "extension_lineage"], capture_output=True, text=True, timeout=180, check=False
    )
    assert ended.returncode == 0, ended.stderr
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert [instance.has_asset_key(dg.AssetKey(name)) for name in TABLES] == [True, False, False]


def test_materializations_hold_numbers_that_dagster_plots(place: Place) -> None:
    place.write([video("one")])
    assert place.advance().success
    numbers, texts = {}, {}
    for name in ASSETS:
        event = place.instance.get_latest_materialization_event(dg.AssetKey(name))
        assert event is not None
        assert event.asset_materialization is not None
        metadata = event.asset_materialization.metadata
        plotted = (dg.FloatMetadataValue, dg.IntMetadataValue)
        numbers[name] = {label: entry.value for label, entry in metadata.items() if isinstance(entry, plotted)}
        texts[name] = {label: e.value for label, e in metadata.items() if isinstance(e, dg.TextMetadataValue)}
    source, request, film, lineage, costs, durations = (numbers[name] for name in ASSETS)
    assert source["hops_done"] == 2
    assert source["source_duration_s"] == 5.1
    assert source["current_duration_s"] == film["duration_after_s"] > 10
    assert (request["hop"], request["attempts"], request["plot_units"]) == (2, 2, 2.0)
    assert (film["plot_units"], film["plot_amount"], film["hop"]) == (2.0, pytest.approx(0.28), 2)
    assert film["added_s"] == pytest.approx(film["duration_after_s"] - film["duration_before_s"])
    assert film["seam_psnr_db"] > 30
    assert texts["completed_extensions"]["amount"] == "0.28 USD (reported)"
    assert (lineage["dagster/row_count"], lineage["videos"], lineage["depth_max"]) == (2, 1, 2)
    assert costs["plot_spent_USD"] == costs["plot_spent_USD_sandbox"] == pytest.approx(0.56)
    assert texts["extension_costs"]["spent_USD"] == "0.560000"
    assert durations["extensions"] == 2
    assert durations["added_s"] == pytest.approx(source["current_duration_s"] - 5.1, abs=0.05)
    assert durations["longest_s"] == film["duration_after_s"]


def test_the_columns_of_the_view_are_those_of_the_file(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    assert place.advance().success
    with place.resource.open() as pipeline, duckdb.connect(str(pipeline.settings.warehouse_path)) as connection:
        described = connection.execute("DESCRIBE duration_metrics").fetchall()
    assert [(row[0], row[1]) for row in described] == [(c.name, c.type) for c in schema.DURATION_METRICS]


def test_tables_stay_fresh_while_nothing_happens_but_the_daily_reconciliation(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    assert place.advance().success
    defs = build_defs(home=place.home, freshness_hours=36)
    node = defs.resolve_asset_graph().get(dg.AssetKey("extension_costs"))

    def state() -> str:
        evaluated = TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(LoadingContextForTest(place.instance), node)
        return asyncio.run(evaluated).value

    assert state() == "PASS"
    now = datetime.datetime.now(datetime.UTC)
    with time_machine.travel(now + datetime.timedelta(hours=24)):
        reconcile = place.defs.resolve_job_def("reconcile_job").execute_in_process(instance=place.instance)
        assert reconcile.success
    with time_machine.travel(now + datetime.timedelta(hours=59)):
        assert state() == "PASS"
    with time_machine.travel(now + datetime.timedelta(hours=61)):
        assert state() == "FAIL"


@pytest.mark.parametrize("hours", [0, 0.5, 9_000, float("nan"), "soon"])
def test_a_freshness_that_means_nothing_is_refused(tmp_path: Path, hours: object) -> None:
    with pytest.raises(ValidationError, match="freshness_hours"):
        build_defs(home=tmp_path, freshness_hours=hours)  # type: ignore[arg-type]
