"""The schema as data: it matches the ledger, and the file describes itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse import definitions, schema
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.warehouse.conftest import Place

DESIGN = {
    "source_videos": """video_key account provider source_video_id model mode created_at extendable_until duration_s
        target_s state""",
    "extension_requests": """attempt_id video_key hop generation account provider state external_task_id task_id prompt
        params predicted_units claimed_at submitted_at finished_at error_code error_message""",
    "completed_extensions": """attempt_id video_key hop account provider task_id parent_video_id video_id
        parent_duration_s added_duration_s output_duration_s probed_duration_s output_kind units units_basis amount
        currency path sha256 bytes width height seam_psnr_db completed_at stored_at wait_s""",
    "lineage": """video_key hop root_video_id parent_video_id video_id depth attempt_id account provider prompt
        duration_before_s duration_after_s""",
    "charges": "charge_id attempt_id video_key account provider entry unit units basis currency amount at",
    "reconciliations": "account source task_id verdict attempt_id unit ledger_units upstream_units note compared_at",
}


def test_the_tables_have_the_columns_that_the_design_promises() -> None:
    columns = {table.name: {column.name for column in table.columns} for table in schema.TABLES}
    assert columns.keys() == DESIGN.keys()
    for name, promised in DESIGN.items():
        assert set(promised.split()) <= columns[name]


def test_every_source_is_a_column_of_the_ledger() -> None:
    known = {f"{table.name}.{column.name}" for table in tables.PROJECTED for column in table.c}
    for table in schema.TABLES:
        for column in table.columns:
            assert column.sources
            assert set(column.sources) <= known, f"{table.name}.{column.name}"


def test_the_file_describes_its_tables_columns_and_views(small_ledger: Ledger, place: Place) -> None:
    place.publish(small_ledger)
    silent = query(
        place.target,
        "SELECT table_name FROM duckdb_tables() WHERE comment IS NULL AND database_name = 'warehouse' "
        "UNION ALL SELECT table_name || '.' || column_name FROM duckdb_columns() WHERE comment IS NULL "
        "AND NOT internal AND database_name = 'warehouse' AND table_name IN (SELECT table_name FROM duckdb_tables()) "
        "UNION ALL SELECT view_name FROM duckdb_views() WHERE comment IS NULL AND NOT internal",
    )
    assert silent.rows == []
    types = query(
        place.target, "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
    ).rows
    published_types = {(row[0], row[1]): row[2].replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ") for row in types}
    for table in schema.TABLES:
        for column in table.columns:
            assert published_types[table.name, column.name] == column.type


def test_there_is_a_described_view_for_every_question_of_the_design() -> None:
    assert set(definitions.views()) == {
        "cost_by_day",
        "cost_by_video",
        "cost_by_account",
        "cost_per_second",
        "duration_metrics",
        "in_doubt",
        "retention",
        "success_rates",
        "focus_1_2",
    }
    for description, body in definitions.views().values():
        assert description.endswith(".")
        assert body.startswith(("SELECT", "WITH"))


def test_the_schema_version_follows_every_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {definitions.schema_version()}
    first = schema.TABLES[0]
    for changed in (
        replace(first, changed="account IN (SELECT account FROM staged)"),
        replace(first, columns=(replace(first.columns[0], sql="upper(videos.video_key)"), *first.columns[1:])),
        replace(first, columns=(replace(first.columns[0], description="something else"), *first.columns[1:])),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(schema, "TABLES", (changed, *schema.TABLES[1:]))
            versions.add(definitions.schema_version())
    with monkeypatch.context() as patched:
        patched.setattr(definitions, "views", lambda: {"cost_by_day": ("Other.", "SELECT 1")})
        versions.add(definitions.schema_version())
    assert len(versions) == 5
