"""`sql`: asks the published warehouse a question, read-only, and writes exact answers."""

from __future__ import annotations

import csv
import json
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

from extend_pipeline.commands.opening import settings_of
from extend_pipeline.commands.output import Column, emit, json_option, print_table, say
from extend_pipeline.commands.text import plain, shortened, visible
from extend_pipeline.commands.zone import zone

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
"""What spreadsheets take for the beginning of a formula (the wide ones in East Asian settings), and the mark itself."""

_LONGEST_CELL: Final = 500  # characters in a table; --csv and --json give everything


@click.command()
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@json_option
@click.pass_obj
def sql(home: Path | None, query: str, as_csv: bool, as_json: bool) -> None:
    """Ask the warehouse a question in SQL (DuckDB's).

    CSV is safe to open in a spreadsheet: text that begins like a formula gets an apostrophe in front of it, and so does
    text that begins with one, so that taking one away gives back exactly what was there. Numbers stay as they are.
    --json gives everything as it is, times in UTC. Elsewhere days and times are those of the home's timezone.

    Tables: source_videos, extension_requests, completed_extensions, lineage, charges, reconciliations, _meta. Views:
    cost_by_day, cost_by_video, cost_by_account, cost_per_second, duration_metrics, in_doubt, retention, success_rates,
    focus_1_2.
    """
    from extend_pipeline.warehouse.errors import QueryError
    from extend_pipeline.warehouse.read import query as ask

    if as_csv and as_json:
        raise click.UsageError("--csv and --json can't both be had.")
    try:
        answer = ask(settings_of(home).warehouse_path, query, timezone=zone())
    except QueryError as error:
        say_lines(str(error))
        sys.exit(2)
    if as_json:
        rows = [[in_json(value) for value in row] for row in answer.rows]
        emit({"columns": list(answer.columns), "types": list(answer.types), "rows": rows})
    elif as_csv:
        plainly = csv.writer(sys.stdout, lineterminator="\n")
        quoted = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)
        lines: list[tuple[Any, ...]] = [answer.columns, *answer.rows]
        for line in lines:
            cells = _safe_on_screen([in_sheet(value) for value in line])
            # left to itself, csv leaves a lone CR unquoted before Python 3.13, and spreadsheets begin a row there
            (quoted if any("\r" in cell for cell in cells) else plainly).writerow(cells)
    else:
        numbers = ("DECIMAL", "BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "NUMBER")
        columns = [
            Column(name, right=kind.startswith(numbers))
            for name, kind in zip(answer.columns, answer.types, strict=True)
        ]
        print_table(columns, ([shortened(in_words(value), _LONGEST_CELL) for value in row] for row in answer.rows))
        say(f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}")


def in_words(value: Any) -> str:
    """A value as text: decimals exact and without exponent, times ISO 8601, nothing for NULL."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Decimal():
            return plain(value)
        case datetime() | date() | time():
            return value.isoformat().replace("+00:00", "Z")
        case bytes() | bytearray():
            return bytes(value).hex()
        case list() | tuple() | dict():
            return json.dumps(in_json(value), ensure_ascii=False)
        case _:
            return str(value)


def in_sheet(value: Any) -> str:
    """A value as a cell of CSV: as `in_words`, and text that a spreadsheet would compute begins with an apostrophe."""
    words = in_words(value)
    is_number = isinstance(value, int | float | Decimal)
    return words if is_number or not words.startswith(_FORMULA) else f"'{words}"


def in_json(value: Any) -> Any:
    """A value for --json: decimals and times (UTC) as strings, whole numbers and truth values as they are."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else str(value)  # JSON has no infinity and no NaN
        case list() | tuple():
            return [in_json(item) for item in value]
        case dict():
            return {str(key): in_json(item) for key, item in value.items()}
        case timedelta():
            return str(value)
        case datetime() if value.tzinfo is not None:
            return in_words(value.astimezone(UTC))
        case _:
            return in_words(value)


def say_lines(message: str) -> None:
    """Write DuckDB's words line by line: the second line points at the place."""
    for line in message.splitlines():
        say(line, err=True)


def _safe_on_screen(cells: list[str]) -> list[str]:
    return [visible(cell) for cell in cells] if sys.stdout.isatty() else cells
