"""`sql`: query the published warehouse, read-only, and write the results with exact values."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from extend_pipeline.base.wording import counted, shortened
from extend_pipeline.commands.render.home import home_settings, with_home_option, zone
from extend_pipeline.commands.render.output import console, emit, json_option, say
from extend_pipeline.commands.render.table import Column, blocks
from extend_pipeline.commands.render.text import cells, visible
from extend_pipeline.commands.warehouse.values import to_csv_cell, to_json, to_text

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from extend_pipeline.warehouse.read import Table

_R = TypeVar("_R")
_MAX_CELL: Final = 500  # characters of a value in a block; --csv and --json have all
_ANY_WIDTH: Final = 1_000_000
SCREEN_ROWS: Final = 1_000
FILE_ROWS: Final = 10_000  # DuckDB's tables are never longer
EXAMPLE: Final = 'extend-pipeline sql "FROM cost_by_video"'
_COMMENT: Final = re.compile(r"--(\s|.*\n)")
"""The beginning of a comment in SQL, as no option begins: two dashes and a space, or anything and another line."""


class _Sql(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments. A query that begins with a comment is no option: a space in front hides the dashes."""
        return super().parse_args(ctx, [f" {arg}" if _COMMENT.match(arg) else arg for arg in args])


@click.command(cls=_Sql)
@click.argument("query")
@click.option("--csv", "as_csv", is_flag=True, help="Write CSV.")
@click.option(
    "--excel",
    "workbook",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.xlsx",
    help="Write a workbook, a sheet a result.",
)
@json_option
def sql(query: str, as_csv: bool, workbook: Path | None, as_json: bool) -> None:
    """Query the warehouse with SQL.

    The SQL is DuckDB's; each of several statements shows its result. A table that is wider than the screen becomes a
    block of lines a row. On a terminal it stops at 1,000 rows.

    CSV is safe to open in a spreadsheet: text that begins like a formula, or with an apostrophe, gets an apostrophe in
    front, so that removing it restores the exact text. Numbers are unchanged. --excel writes a workbook that keeps all
    text, in any script, and all digits of ids (it needs the extra `excel`). --json has exact values, times in UTC.
    Elsewhere days and times are those of the home's timezone.

    Tables: source_videos, extension_requests, completed_extensions, lineage, charges, reconciliations, _meta. Views:
    cost_by_day, cost_by_video, cost_by_account, cost_per_second, duration_metrics, in_doubt, retention, success_rates,
    focus_1_2.
    """
    from extend_pipeline.commands.warehouse.excel import write_workbook
    from extend_pipeline.warehouse.errors import QueryError
    from extend_pipeline.warehouse.read import query_errors, results, rows_of

    if workbook is not None and workbook.suffix.lower() != ".xlsx":
        raise click.UsageError(f"--excel writes a workbook; call it {workbook.stem}.xlsx, not {workbook.name}")
    if as_csv + as_json + (workbook is not None) > 1:
        raise click.UsageError("--csv, --excel and --json: one at a time.")
    path, timezone = home_settings().warehouse_path, zone()
    try:
        with query_errors():
            relations = results(path, query, timezone=timezone)
            tables = (rows_of(relation, timezone) for relation in relations)
            if workbook is not None:
                count = write_workbook(workbook, tables, timezone=timezone)
            elif as_json:
                documents = [_document(table) for table in tables]
                count = len(documents)
            elif as_csv:
                count = _write_all(tables, _write_csv)
            else:
                count = _write_all(relations, print_result)
    except QueryError as error:
        for line in str(error).splitlines():  # DuckDB's second line points at the place of the error
            say(line, err=True)
        sys.exit(2)
    if not count:
        raise click.UsageError(f"there is no query in {query!r}; try: {with_home_option(EXAMPLE)}")
    if as_json:
        emit(documents[0] if count == 1 else {"results": documents})
    elif workbook is not None:
        say(f"{workbook}: {counted(count, 'sheet')}")


def _write_all(results: Iterable[_R], write: Callable[[_R], None]) -> int:
    """Write results with an empty line between them, and return their number."""
    count = 0
    for count, result in enumerate(results, start=1):
        if count > 1:
            say("")
        write(result)
    return count


def print_result(result: DuckDBPyRelation) -> None:
    """Write one result as DuckDB's own table, or as a block a row if the screen is too narrow for it."""
    from extend_pipeline.warehouse.read import kept, rows_of

    most = SCREEN_ROWS if sys.stdout.isatty() else FILE_ROWS
    first = kept(result, most=most + 1)
    is_cut = len(first) > most
    cut = kept(first, most=most)
    width = console().width
    drawn = duckdb_table(cut)
    if cells(drawn.partition("\n")[0]) <= width:
        click.echo(drawn)
    else:
        table = rows_of(cut, zone())
        columns = [Column(name, prose=True) for name in table.columns]
        filled = [
            ["NULL" if value is None else shortened(to_text(value), _MAX_CELL) for value in row] for row in table.rows
        ]
        console().print(blocks(columns, filled, width), soft_wrap=True)
        say(counted(len(table.rows), "row"))
    if is_cut:
        say(f"stopped at {most:,} rows; --csv and --json have all")


def duckdb_table(result: DuckDBPyRelation) -> str:
    """Return DuckDB's own table of a result, in its full width and with control characters escaped."""
    drawn = io.StringIO()
    with redirect_stdout(drawn):
        result.show(max_width=_ANY_WIDTH, max_rows=FILE_ROWS, max_col_width=_ANY_WIDTH)
    return visible(drawn.getvalue().rstrip("\n"), keep_lines=True)


def _document(table: Table) -> dict[str, Any]:
    rows = [[to_json(value) for value in row] for row in table.rows]
    return {"columns": list(table.columns), "types": list(table.types), "rows": rows}


def _write_csv(table: Table) -> None:
    minimal = csv.writer(sys.stdout, lineterminator="\n")
    quoted = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)
    lines: list[tuple[Any, ...]] = [table.columns, *table.rows]
    for line in lines:
        filled = [to_csv_cell(value) for value in line]
        if sys.stdout.isatty():
            filled = list(map(visible, filled))
        # before Python 3.13 csv doesn't quote a lone CR, at which spreadsheets begin a new row
        (quoted if any("\r" in cell for cell in filled) else minimal).writerow(filled)
