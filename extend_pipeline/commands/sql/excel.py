"""Write results as a workbook that Excel and its like open as it is meant: text stays text, moments are moments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from extend_pipeline.base.wording import counted
from extend_pipeline.commands.sql.values import in_words

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.workbook import Workbook
    from xlsxwriter.worksheet import Worksheet

    from extend_pipeline.warehouse.read import Table

MAX_ROWS: Final = 1_048_575  # a sheet's rows (support.microsoft.com, "Excel specifications and limits") less its head
MAX_TEXT: Final = 32_767  # UTF-16 units of a cell, by the same page
EXACT_DIGITS: Final = 15  # of a number: a cell holds a double
FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 9998  # DuckDB's infinity comes as the last moment of 9999


def write_workbook(path: Path, results: Iterable[Table], *, timezone: str) -> int:
    """Write each result to a sheet of its own and return how many there were; a file of that name is replaced once the
    new one is whole. Excel knows no time zones: moments are those of `timezone` (IANA), which their column's head
    names.

    Raises click.UsageError without XlsxWriter, where a result has more rows than a sheet, or where the file can't be
    written.
    """
    try:
        from xlsxwriter import Workbook
        from xlsxwriter.exceptions import XlsxWriterException
    except ModuleNotFoundError:
        told = "a workbook needs XlsxWriter, which is not installed: pip install 'extend_pipeline[excel]'"
        raise click.UsageError(told) from None
    count = 0
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            # rows go to a file of the same folder meanwhile, so that nothing is left behind however this ends
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
        told = f"{counted(len(table.rows), 'row')} don't fit a sheet, which has {MAX_ROWS:,}; use --csv, or LIMIT"
        raise click.UsageError(told)
    bold, wrapped = book.add_format({"bold": True}), book.add_format({"text_wrap": True, "valign": "top"})
    for column, (name, kind) in enumerate(zip(table.columns, table.types, strict=True)):
        zoned = f" ({timezone})" if kind == "TIMESTAMP WITH TIME ZONE" else ""
        sheet.write_string(0, column, f"{name}{zoned}", bold)
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, max(len(table.columns) - 1, 0), 18)
    dated = book.add_format({"num_format": "yyyy-mm-dd"})
    for number, row in enumerate(table.rows, start=1):
        for column, value in enumerate(row):
            _put(sheet, number, column, value, dated, wrapped)


def _put(sheet: Worksheet, row: int, column: int, value: Any, dated: Format, wrapped: Format) -> None:
    """Write one value: as a number only what a cell holds exactly, so that no id loses its last digits."""
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
            text = in_words(value)
            units = text.encode("utf-16-le", "surrogatepass")
            if len(units) > 2 * MAX_TEXT:
                text = units[: 2 * (MAX_TEXT - 1)].decode("utf-16-le", "ignore") + "…"
            sheet.write_string(row, column, text, wrapped if "\n" in text else None)
