"""The tables that migrations make are those that the code reads, with their indexes and columns."""

from __future__ import annotations

from dataclasses import fields

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import SCHEMA_HEAD, Ledger
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are compared too
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.rows import AccountRow, BackoffRow, ReconciliationRow, VideoRow
from extend_pipeline.ledger.write.lower_charges import LowerCharge
from extend_pipeline.ledger.write.statements import StatementRow
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)


# indexes over an expression are tested in `ledger/test_files.py`
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection", "ignore:autogenerate skipping metadata-specified")
def test_migrations_make_exactly_the_tables_that_the_code_reads(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        connection.info["mode"] = "read"
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == SCHEMA_HEAD


def test_the_partial_indexes_are_there_with_their_conditions(ledger: Ledger) -> None:
    sql = (
        "SELECT sql FROM sqlite_master WHERE name LIKE 'ux_%'"
        if ledger.dialect == "sqlite"
        else "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'ux_%'"
    )
    with ledger.read() as connection:
        indexes = sorted(connection.execute(text(sql)).scalars())
    assert len(indexes) == 3
    assert all("UNIQUE" in index and "WHERE" in index for index in indexes)


def test_rows_have_the_columns_of_their_tables_in_order() -> None:
    small = {
        tables.accounts: AccountRow,
        tables.backoff: BackoffRow,
        tables.reconciliations: ReconciliationRow,
        tables.lower_charges: LowerCharge,
        tables.statements: StatementRow,
    }
    shapes = {table: [field.name for field in fields(shape)] for table, shape in small.items()}
    shapes |= {tables.attempts: list(AttemptRow._fields), tables.videos: list(VideoRow._fields)}
    renamed = {"unread_since": "unavailable_since", "unread_message": "unavailable_message"}
    assert shapes == {table: [renamed.get(column.name, column.name) for column in table.c] for table in shapes}
