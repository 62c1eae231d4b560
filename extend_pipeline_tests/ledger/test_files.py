"""One folder's files are read by its index: reading the whole table for each folder took 100 s at 100,000 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import event

from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.write import files


def test_a_folders_files_are_read_by_its_index(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    statements: list[tuple[str, Any]] = []
    event.listen(
        ledger.engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, values, *_: statements.append((statement, values)),
    )
    with ledger.read() as connection:
        assert list(files.rows_in(connection, "ab", "ab")) == []
        queries = [(statement, values) for statement, values in statements if "substr" in statement]
        plans = [
            str(list(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", values))) for query, values in queries
        ]
    ledger.close()
    for plan, index in zip(
        plans, ("ix_attempts_file_folder", "ix_attempts_film_folder", "ix_videos_source_folder"), strict=True
    ):
        assert index in plan
