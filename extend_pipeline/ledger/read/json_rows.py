"""Read rows as JSON that the database makes, because many rows cost Python less as one text."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Text, cast, func, select

_ARRAY: Final = {"sqlite": func.json_array, "postgresql": func.json_build_array}
_ALL: Final = {"sqlite": func.json_group_array, "postgresql": func.json_agg}


def array_of(columns: Iterable[ColumnElement[Any]], dialect: str) -> ColumnElement[str]:
    """Return the column that holds the values of columns as one JSON array."""
    return cast(_ARRAY[dialect](*columns), Text)


def all_rows(connection: Connection, query: Select[Any], values: Mapping[str, object]) -> list[list[Any]]:
    """Return the rows of a constant query, in any order, with texts, numbers and None. The database sends them as one
    row, because the driver releases the interpreter's lock for each, and then waits for it behind other threads."""
    text = connection.execute(_in_one(query, connection.dialect.name), values).scalar_one()
    rows: list[list[Any]] = json.loads(text or "[]")  # PostgreSQL makes NULL of no rows
    return rows


@cache
def _in_one(query: Select[Any], dialect: str) -> Select[tuple[str]]:
    rows = query.subquery()
    return select(cast(_ALL[dialect](_ARRAY[dialect](*rows.c)), Text))
