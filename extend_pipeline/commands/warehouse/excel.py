"""Write results as an Excel workbook with typed cells, so that text and ids are not converted when it is opened."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from extend_pipeline.base.wording import counted
from extend_pipeline.commands.warehouse.values import to_text

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

    from extend_pipeline.warehouse.read import Table

MAX_ROWS: Final = 1_048_575  # rows of a sheet without header (support.microsoft.com, "Excel specifications and limits")
MAX_TEXT: Final = 32_767  # UTF-16 units of a cell, from the same page
EXACT_DIGITS: Final = 15  # digits of a number, because a cell holds a double
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 9998  # DuckDB's infinity comes as the last moment of 9999


def write_workbook(path: Path, results: Iterable[Table], *, timezone: str) -> int:
    """Write each result to a sheet of its own and return their number. An existing file is replaced when the new one is
    complete. Excel has no time zones: times are those of `timezone` (IANA), which is named in the column's header.

    Raises click.UsageError without XlsxWriter, if a result has more rows than a sheet, or if the file can't be written.
    """
    try:
        from xlsxwriter import Workbook
        from xlsxwriter.exceptions import XlsxWriterException
    except ModuleNotFoundError:
        message = "a workbook needs XlsxWriter, which is not installed: pip install 'extend_pipeline[excel]'"
        raise click.UsageError(message) from None
    count = 0
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            # rows are buffered in a file of the temporary folder, so that it is removed after an error, too
            options = {"constant_memory": True, "tmpdir": folder, "default_date_format": "yyyy-mm-dd hh:mm:ss"}
            with Workbook(f"{folder}/{path.name}", options) as book:
                for count, table in enumerate(results, start=1):
                    _fill(book.add_worksheet(f"result {count}"), book, table, timezone)
                if not count:
                    book.add_worksheet()
            if count:
                Path(folder, path.name).replace(path)
    except (OSError, XlsxWriterException) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise click.UsageError(f"{path} can't be written: {reason}") from None
    return count


def _fill(sheet: Worksheet, book: Workbook, table: Table, timezone: str) -> None:
    if len(table.rows) > MAX_ROWS:
        rows = counted(len(table.rows), "row")
        raise click.UsageError(f"{rows} don't fit into a sheet, which has {MAX_ROWS:,}; use --csv, or LIMIT")
    bold, wrapped = book.add_format({"bold": True}), book.add_format({"text_wrap": True, "valign": "top"})
    for column, (name, kind) in enumerate(zip(table.columns, table.types, strict=True)):
        zoned = f" ({timezone})" if kind == "TIMESTAMP WITH TIME ZONE" else ""
        sheet.write_string(0, column, f"{name}{zoned}", bold)
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, max(len(table.columns) - 1, 0), 18)
    dated = book.add_format({"num_format": "yyyy-mm-dd"})
    for number, row in enumerate(table.rows, start=1):
        for column, value in enumerate(row):
            _write_cell(sheet, number, column, value, dated, wrapped)


def _write_cell(sheet: Worksheet, row: int, column: int, value: Any, dated: Format, wrapped: Format) -> None:
    """Write one value. A number that a cell can't hold exactly is written as text, so that ids keep all digits."""
    match value:
        case None:
            return
        case bool():
            sheet.write_boolean(row, column, value)
        case int() | Decimal() if Decimal(f"{float(value):.{EXACT_DIGITS}g}") == value:
            sheet.write_number(row, column, value)
        case float() if value - value == 0:
            sheet.write_number(row, column, value)
        case datetime() if FIRST_YEAR <= value.year <= LAST_YEAR:
            sheet.write_datetime(row, column, value.replace(tzinfo=None))
        case date() if FIRST_YEAR <= value.year <= LAST_YEAR:
            sheet.write_datetime(row, column, value, dated)
        case _:
            text = to_text(value)
            units = text.encode("utf-16-le", "surrogatepass")
            if len(units) > 2 * MAX_TEXT:
                text = units[: 2 * (MAX_TEXT - 1)].decode("utf-16-le", "ignore") + "…"
            sheet.write_string(row, column, text, wrapped if "\n" in text else None)
