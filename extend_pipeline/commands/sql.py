"""`sql`: asks the published warehouse a question, read-only, and writes exact answers."""

from __future__ import annotations

import csv
import io
import json
import sys
from contextlib import redirect_stdout
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from extend_pipeline.base.wording import counted
from extend_pipeline.commands.opening import settings_of
from extend_pipeline.commands.output import console, emit, json_option, say
from extend_pipeline.commands.table import Column, blocks
from extend_pipeline.commands.text import cells, plain, shortened, typed, visible
from extend_pipeline.commands.zone import zone

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from extend_pipeline.warehouse.read import Table

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'")
"""What spreadsheets take for the beginning of a formula (the wide ones in East Asian settings), and the mark itself."""

_LONGEST_CELL: Final = 500  # characters in a block; --csv and --json give everything
_ANY_WIDTH: Final = 1_000_000
SCREEN_ROWS: Final = 1_000
FILE_ROWS: Final = 10_000  # DuckDB's tables are never longer
EXAMPLE: Final = 'extend-pipeline sql "FROM cost_by_video"'


@click.command()
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@json_option
@click.pass_obj
def sql(home: Path | None, query: str, as_csv: bool, as_json: bool) -> None:
    """Ask the warehouse a question in SQL (DuckDB's); of several statements, each shows its result.

    A table that is wider than the screen becomes a block of lines a row. On a terminal it stops at 1,000 rows.

    CSV is safe to open in a spreadsheet: text that begins like a formula gets an apostrophe in front of it, and so does
    text that begins with one, so that taking one away gives back exactly what was there. Numbers stay as they are.
    --json gives everything as it is, times in UTC. Elsewhere days and times are those of the home's timezone.

    Tables: source_videos, extension_requests, completed_extensions, lineage, charges, reconciliations, _meta. Views:
    cost_by_day, cost_by_video, cost_by_account, cost_per_second, duration_metrics, in_doubt, retention, success_rates,
    focus_1_2.
    """
    from extend_pipeline.warehouse.errors import QueryError
    from extend_pipeline.warehouse.read import query_errors, results, rows_of

    if as_csv and as_json:
        raise click.UsageError("--csv and --json can't both be had.")
    documents: list[dict[str, Any]] = []
    count = 0
    path = settings_of(home).warehouse_path
    try:
        with query_errors():
            for count, result in enumerate(results(path, query, timezone=zone()), start=1):
                if as_json:
                    documents.append(_document(rows_of(result, zone())))
                    continue
                if count > 1:
                    say("")
                if as_csv:
                    _write_csv(rows_of(result, zone()))
                else:
                    print_result(result)
    except QueryError as error:
        say_lines(str(error))
        sys.exit(2)
    if not count:
        raise click.UsageError(f"there is no question in {query!r}; try: {typed(EXAMPLE, home)}")
    if as_json:
        emit(documents[0] if count == 1 else {"results": documents})


def print_result(result: DuckDBPyRelation) -> None:
    """Write one result as DuckDB's own table, or as a block a row where the screen isn't wide enough for it."""
    from extend_pipeline.warehouse.read import kept, rows_of

    most = SCREEN_ROWS if sys.stdout.isatty() else FILE_ROWS
    first = kept(result, most=most + 1)
    is_cut = len(first) > most
    shown = kept(first, most=most)
    width = console().width
    drawn = duckdb_table(shown)
    if cells(drawn.partition("\n")[0]) <= width:
        click.echo(drawn)
    else:
        table = rows_of(shown, zone())
        columns = [Column(name, prose=True) for name in table.columns]
        filled = [
            ["NULL" if value is None else shortened(in_words(value), _LONGEST_CELL) for value in row]
            for row in table.rows
        ]
        console().print(blocks(columns, filled, width), soft_wrap=True)
        say(counted(len(table.rows), "row"))
    if is_cut:
        say(f"stopped at {most:,} rows; --csv and --json give all")


def duckdb_table(result: DuckDBPyRelation) -> str:
    """Return DuckDB's own drawing of a result, however wide, without what could act on a terminal."""
    drawn = io.StringIO()
    with redirect_stdout(drawn):
        result.show(max_width=_ANY_WIDTH, max_rows=FILE_ROWS, max_col_width=_ANY_WIDTH)
    return visible(drawn.getvalue().rstrip("\n"), keep_lines=True)


def _document(table: Table) -> dict[str, Any]:
    rows = [[in_json(value) for value in row] for row in table.rows]
    return {"columns": list(table.columns), "types": list(table.types), "rows": rows}


def _write_csv(table: Table) -> None:
    plainly = csv.writer(sys.stdout, lineterminator="\n")
    quoted = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)
    lines: list[tuple[Any, ...]] = [table.columns, *table.rows]
    for line in lines:
        filled = _safe_on_screen([in_sheet(value) for value in line])
        # left to itself, csv leaves a lone CR unquoted before Python 3.13, and spreadsheets begin a row there
        (quoted if any("\r" in cell for cell in filled) else plainly).writerow(filled)


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
