"""How a database would carry out the queries of a read, and how many statements it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event

from extend_pipeline.ledger.database import Ledger

Statement = tuple[str, Any]


@contextmanager
def recorded(ledger: Ledger) -> Iterator[list[Statement]]:
    """Yield the list to which every statement is added that is sent meanwhile, with its values."""
    statements: list[Statement] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        statements.append((statement, values))

    event.listen(ledger.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(ledger.engine, "before_cursor_execute", note)


def query_plans(ledger: Ledger, read: Callable[[Connection], object]) -> list[str]:
    """Return the plan of each query of a read, as text. On PostgreSQL a small table is not read as a whole, so that the
    plan shows the index that a large one is read by."""
    with ledger.read() as connection:
        if ledger.dialect == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        with recorded(ledger) as statements:
            read(connection)
        queries = [(text, values) for text, values in statements if text.lstrip().startswith("SELECT")]
        explain = "EXPLAIN QUERY PLAN" if ledger.dialect == "sqlite" else "EXPLAIN"
        return [
            "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {text}", values))
            for text, values in queries
        ]
