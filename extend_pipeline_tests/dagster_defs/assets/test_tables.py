"""The published tables as assets: when they are published, their metadata, and the checks that report errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster import evaluate_automation_conditions

from extend_pipeline.dagster_defs.assets import tables
from extend_pipeline.dagster_defs.checks import store
from extend_pipeline.dagster_defs.checks.ledger import CHECKS
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.engine.store import look
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.publish import publish
from extend_pipeline.warehouse.read import meta
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.ledger.events import START, seed_attempt
from extend_pipeline_tests.support.processes.open_for_writing import open_for_writing
from extend_pipeline_tests.support.user_texts import check_user_text

Numbers = Callable[[duckdb.DuckDBPyConnection], dict[str, Any]]
TABLES = [dg.AssetKey(name) for name in ("extension_lineage", "extension_costs", "extension_durations")]


def _publish(place: Place, *, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    """Materialize the published tables in one run and return its result."""
    job = place.defs.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(asset_selection=TABLES, instance=place.instance, raise_on_error=raise_on_error)


def test_the_tables_are_published_once_after_a_manual_run_with_partitions_missing(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP), video("never", extend=ONE_HOP)])
    place.sensor("catalog_sensor")

    def tick(cursor: object = None) -> tuple[int, object]:
        selection = dg.AssetSelection.assets(*TABLES)
        evaluated = evaluate_automation_conditions(
            place.defs,
            place.instance,
            asset_selection=selection,
            cursor=cursor,  # type: ignore[arg-type]
        )
        return evaluated.total_requested, evaluated.cursor

    requested, cursor = tick()
    assert requested == 0
    place.materialise("completed_extensions", keys=["one"])
    requested, cursor = tick(cursor)
    assert requested == 3, "eager() alone would wait until no partition is missing"
    assert _publish(place).success
    for _ in range(3):
        requested, cursor = tick(cursor)
        assert requested == 0
    place.materialise("completed_extensions", keys=["one"])
    requested, cursor = tick(cursor)
    assert requested == 0, "a second run for a complete video changes no data version"
    place.materialise("completed_extensions", keys=["two"])
    requested, cursor = tick(cursor)
    assert requested == 3
    assert _publish(place).success
    assert tick(cursor)[0] == 0


def test_a_run_goes_on_while_a_program_has_the_file_open_for_writing(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    assert place.advance().success
    with place.resource.open() as pipeline:
        path = pipeline.settings.warehouse_path
    with open_for_writing(path) as pid:
        again = place.advance()
        by_hand = _publish(place, raise_on_error=False)
        place.write([video("one", extend=ONE_HOP), video("two", extend=ONE_HOP)])
        published_anew = place.advance()
    assert again.success
    checks = {check.check_name: check for check in again.get_asset_check_evaluations()}
    assert checks.keys() == {key.name for key in CHECKS}
    failed = {name: check.severity for name, check in checks.items() if not check.passed}
    assert failed == dict.fromkeys(("charges_reconcile", "durations_grew", "seams_hold"), dg.AssetCheckSeverity.WARN)
    assert f"(process {pid})" in str(checks["seams_hold"].description)
    [failure] = [event.step_failure_data for event in by_hand.all_events if event.is_step_failure]
    assert failure.error is not None
    assert f"(process {pid})" in failure.error.message
    assert "remove" not in failure.error.message.lower()
    assert all(check.passed for check in published_anew.get_asset_check_evaluations())


def test_advance_job_publishes_itself_and_starts_no_run_for_the_tables(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    selection = dg.AssetSelection.assets(*TABLES)
    first = evaluate_automation_conditions(place.defs, place.instance, asset_selection=selection)
    assert place.advance().success
    assert place.latest("completed_extensions", "one") is not None
    second = evaluate_automation_conditions(place.defs, place.instance, asset_selection=selection, cursor=first.cursor)
    assert second.total_requested == 0


def test_tables_have_rows_columns_lineage_and_a_preview_and_their_checks_pass(place: Place) -> None:
    place.write([video("one"), video("two", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    place.materialise("completed_extensions", keys=["one", "two"])
    result = _publish(place)
    assert result.success
    metadata = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    assert set(metadata) == set(TABLES)
    lineage, costs, durations = (metadata[key] for key in TABLES)
    assert lineage["dagster/row_count"].value == 3
    names = {column.name for column in lineage["dagster/column_schema"].value.columns}
    assert names == {column.name for column in schema.LINEAGE.columns}
    preview = costs["preview"]
    assert isinstance(preview, dg.TableMetadataValue)
    assert preview.records[0].data["spent_units"] == "6.000000", "exact, as text"
    shown = {column.name for column in durations["dagster/column_schema"].value.columns}
    assert shown == {column.name for column in schema.DURATION_METRICS}
    checks = {event.check_name: (event.passed, event.description) for event in result.get_asset_check_evaluations()}
    assert checks.keys() == {key.name for key in CHECKS}
    assert all(passed for passed, _ in checks.values()), checks


@pytest.mark.parametrize("by_hand", [False, True])
def test_the_tables_describe_one_file_while_another_process_publishes(
    place: Place, monkeypatch: pytest.MonkeyPatch, by_hand: bool
) -> None:
    place.write([video("one", extend=ONE_HOP)])
    if by_hand:
        place.sensor("catalog_sensor")
        place.materialise("completed_extensions", keys=["one"])
    with place.resource.open() as pipeline:
        path, ledger = pipeline.settings.warehouse_path, open_ledger(pipeline.ledger.url)
    hops = itertools.count(2)

    def publish_more() -> None:
        seed_attempt(ledger, f"more-{(hop := next(hops))}", video="one", hop=hop)
        publish(ledger, target=path, work=path.with_name("warehouse.work.duckdb"), now_ms=START)

    def after_another_publish(numbers: Numbers) -> Numbers:
        def compute(file: duckdb.DuckDBPyConnection) -> dict[str, Any]:
            publish_more()
            return numbers(file)

        return compute

    replaced = tuple(replace(table, numbers=after_another_publish(table.numbers)) for table in tables.PUBLISHED)
    monkeypatch.setattr(tables, "PUBLISHED", replaced)
    result = _publish(place, raise_on_error=False) if by_hand else place.advance()
    ledger.close()
    made = [event.materialization for event in result.get_asset_materialization_events()]
    metadata = {each.asset_key: each.metadata for each in made if each.asset_key in TABLES}
    lineage, costs, durations = (metadata[key] for key in TABLES)
    seqs = {entries["ledger_seq"].value for entries in metadata.values()}
    assert len(seqs) == 1
    assert (lineage["dagster/row_count"].value, lineage["videos"].value) == (1, 1)
    assert (costs["dagster/row_count"].value, durations["extensions"].value) == (3, 1)
    newest = meta(path)
    assert newest is not None
    assert seqs != {newest.ledger_seq}


def test_column_lineage_names_only_columns_that_exist(place: Place) -> None:
    known = {
        (asset, column.name)
        for asset, schema_table in (
            ("source_videos", schema.SOURCE_VIDEOS),
            ("extension_requests", schema.EXTENSION_REQUESTS),
            ("completed_extensions", schema.COMPLETED_EXTENSIONS),
        )
        for column in schema_table.columns
    }
    from extend_pipeline.dagster_defs.assets.tables import PUBLISHED

    for table in PUBLISHED:
        named = {
            (dep.asset_key.to_user_string(), dep.column_name)
            for deps in table.column_metadata(OWN)["dagster/column_lineage"].deps_by_column.values()
            for dep in deps
        }
        assert named, table.asset
        assert named <= known, table.asset
    lineage = PUBLISHED[0].column_metadata(OWN)["dagster/column_lineage"].deps_by_column
    assert [dep.column_name for dep in lineage["prompt"]] == ["prompt"]
    assert {dep.column_name for dep in lineage["video_id"]} == {"video_id"}


def test_checks_report_a_warehouse_unlike_the_ledger_and_a_used_up_budget(place: Place) -> None:
    place.write([video("one", extend=ONE_HOP)], budget={"per_day": 2, "total": 100})
    place.sensor("catalog_sensor")
    place.materialise("completed_extensions", keys=["one"])
    assert _publish(place).success
    with place.resource.open() as pipeline, duckdb.connect(str(pipeline.settings.warehouse_path)) as connection:
        connection.execute("UPDATE charges SET units = units + 1 WHERE entry = 'settle'")
        connection.execute("UPDATE completed_extensions SET added_duration_s = 0.2, seam_psnr_db = 9")
    LocalStore(media := place.home / "state" / "media").set_mark(at_ms=0, new_id="ours")
    next(media.glob("??/*.mp4")).unlink()
    job = place.defs.resolve_implicit_global_asset_job_def()
    keys = place.defs.resolve_asset_graph().asset_check_keys
    result = job.get_subset(asset_check_selection=set(keys), asset_selection=set()).execute_in_process(
        instance=place.instance
    )
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name for name, check in checks.items() if not check.passed} == {
        "charges_reconcile",
        "budgets_hold",
        "durations_grew",
        "films_are_there",
        "seams_hold",
    }
    assert checks["films_are_there"].severity is dg.AssetCheckSeverity.WARN  # it can be fetched again
    for name in ("charges_reconcile", "budgets_hold", "durations_grew"):
        check_user_text(str(checks[name].description))
    assert checks["budgets_hold"].severity is dg.AssetCheckSeverity.WARN
    assert checks["charges_reconcile"].metadata["findings"].value == 1


def test_films_are_compared_in_part_and_all_if_the_rounds_have_not_done_so_for_a_day(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so many that their hashes don't all begin alike: a look compares whole folders
    place.write([video(f"v{number}", extend=ONE_HOP) for number in range(10)])
    assert place.advance().success
    monkeypatch.setattr(store, "AT_A_GLANCE", 1)
    monkeypatch.setattr(look, "AT_A_TIME", 1)
    with place.resource.open() as pipeline:
        for path in pipeline.settings.media_dir.glob("??/*.mp4"):
            path.unlink()
        pipeline.store.set_mark(at_ms=pipeline.now_ms() - 86_000_000, new_id="ours")
        part = store.films_are_there(pipeline).metadata
        pipeline.store.set_mark(at_ms=pipeline.now_ms() - 86_400_000, new_id="ours")
        whole = store.films_are_there(pipeline).metadata
    found = [metadata["findings"].value for metadata in (part, whole)]
    assert isinstance(found[0], int)
    assert 1 <= found[0] < found[1] == whole["films"].value == 20
    assert "everything_compared_at" in part
    assert whole["compared"].value == "everything"
