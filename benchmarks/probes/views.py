"""How long each view of the published warehouse takes: its first 100 rows, and all of it. Prints seconds by view; None
where a view took longer than LIMIT_S."""

from __future__ import annotations

import threading
import time

import duckdb

from benchmarks.probes.home import report
from extend_pipeline.config.settings import Settings

LIMIT_S = 20.0


def main() -> None:
    """Time every view."""
    with duckdb.connect(str(Settings().warehouse_path), read_only=True) as warehouse:
        names = [
            row[0]
            for row in warehouse.sql(
                "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY view_name"
            ).fetchall()
        ]
        measured = {}
        for name in names:
            first = _timed(warehouse, f'CREATE OR REPLACE TEMP TABLE taken AS SELECT * FROM "{name}" LIMIT 100')
            whole = _timed(warehouse, f'CREATE OR REPLACE TEMP TABLE taken AS SELECT * FROM "{name}"')
            measured[name] = (first, whole)
    report(**measured)


def _timed(warehouse: duckdb.DuckDBPyConnection, statement: str) -> float | None:
    timer = threading.Timer(LIMIT_S, warehouse.interrupt)
    timer.start()
    began = time.perf_counter()
    try:
        warehouse.execute(statement)
    except duckdb.InterruptException:
        return None
    finally:
        timer.cancel()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
