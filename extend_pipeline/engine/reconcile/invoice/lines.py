"""The lines of an invoice: each becomes a row of units for a task, or is left out and told of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.base.units import MICRO, amount_micros, from_micros, units_micros
from extend_pipeline.config.fields.ids import bare_id
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.reconcile.invoice.cells import BadCell, check_id, is_total, micros, moment
from extend_pipeline.engine.reconcile.invoice.header import Columns, Layout
from extend_pipeline.engine.reconcile.invoice.report import Told

# A thousand million units, or as much money: what is more is a slip, and no column of the warehouse holds it.
MAX_MICROS: Final = 10**15
ROUNDED_BY: Final = 5_000  # half a cent: invoices round their amounts

UNNAMED: Final = "lines without a task's id were left out, so that what the file lacks means nothing"
TOO_MUCH: Final = "is more than any task costs"
_LOOK: Final = "Look at the line: is it a sum, or another number?"


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """What was taken for a task: millionths of a unit, below 0 where it was given back; `at_ms` (UTC) where a time is
    told. `line` counts from 1; of lines that were added up it is the first. `amount_micros` is what was written, in
    millionths of the currency, where the units were reckoned from it at today's price."""

    task_id: str
    units_micros: int
    at_ms: int | None
    line: int
    amount_micros: int | None = None


def read_lines(text: str, layout: Layout, account: Account, told: Told) -> Iterator[InvoiceRow]:
    """The lines that name a task, one row each. What is wrong with any of them, or was done with it, goes to `told`."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.separator, strict=True)
    cut: tuple[int, str, int] | None = None
    number, ends = 1, text.endswith(("\n", "\r"))
    try:
        for cells in reader:
            started, number = number, reader.line_num + 1
            if started <= layout.header_line:
                continue
            cut = None
            if not any(cell.strip() for cell in cells):
                told.note_line("empty lines were left out", started)
                continue
            found = _line(cells, layout, account, told, started)
            if found is not None:
                cut = None if ends or len(cells) >= layout.width else (started, found.task_id, len(cells))
                yield found
        if cut is not None:
            message = f"has {cut[2]} of {layout.width} columns, and the file ends there: it is cut"
            told.problem(cut[0], None, cut[1], message, "Save it again, whole.")
    except csv.Error as error:
        told.problem(number, None, None, f"this is not CSV: {error}", "Look at the quotes from here on.")


def _line(cells: Sequence[str], layout: Layout, account: Account, told: Told, line: int) -> InvoiceRow | None:
    columns = layout.columns
    spare = [cell for cell in cells[layout.width :] if cell.strip()]
    if spare:
        hint = "Quote cells that hold the separator; a decimal comma needs a file that is separated by semicolons."
        told.problem(line, None, spare[0], "stands in a column without a name", hint)
        return None
    task_id = bare_id(_cell(cells, columns.task_id))
    if any(is_total(cell) for cell in (task_id, *(cells if not task_id else ()))):
        told.note_line("totals were left out", line)
        return None
    if not task_id:
        told.note_line(UNNAMED, line)
        return None
    wrong = check_id(task_id)
    if wrong is not None:
        told.bad(line, columns.name(columns.task_id), task_id, wrong)
    at_ms = _time(cells, columns, told, line)
    _check_currency(cells, columns, account, told, line)
    taken = _taken(cells, layout, account, told, line)
    return None if wrong is not None or taken is None else InvoiceRow(task_id, taken[0], at_ms, line, taken[1])


def _cell(cells: Sequence[str], position: int | None) -> str:
    return "" if position is None or position >= len(cells) else cells[position].strip()


def _time(cells: Sequence[str], columns: Columns, told: Told, line: int) -> int | None:
    cell = _cell(cells, columns.at)
    if not cell:
        return None
    found = moment(cell)
    if isinstance(found, BadCell):
        told.bad(line, columns.name(columns.at), cell, found)
        return None
    if not found.zoned:
        told.note_once("times without a zone are taken to be UTC")
    return found.ms


def _check_currency(cells: Sequence[str], columns: Columns, account: Account, told: Told, line: int) -> None:
    given, own = _cell(cells, columns.currency), account.price.currency
    if given and given.upper() != own:
        hint = f"Is it the invoice of another account? {account.name} is charged in {own}."
        told.problem(line, columns.name(columns.currency), given, f"is not the currency of {account.name}", hint)


def _taken(
    cells: Sequence[str], layout: Layout, account: Account, told: Told, line: int
) -> tuple[int, int | None] | None:
    """The units of a line, and the amount where they were reckoned from it."""
    columns = layout.columns
    units = _number(cells, columns.units, layout, told, line)
    amount = _number(cells, columns.amount, layout, told, line)
    if isinstance(units, BadCell) or isinstance(amount, BadCell):
        return None
    for column, number in ((columns.units, units), (columns.amount, amount)):
        if number is not None and abs(number) > MAX_MICROS:
            told.problem(line, columns.name(column), _cell(cells, column), TOO_MUCH, _LOOK)
            return None
    price = account.price
    if units is not None:
        expected = amount_micros(units_micros=units, unit_price_micros=price.unit_price_micros)
        if amount is not None and abs(amount - expected) > ROUNDED_BY:
            told.note_line(f"amounts are not the units at {_price(account)}; the units count", line)
        return units, None
    column = columns.units if columns.units is not None else columns.amount
    if amount is None:
        hint = "Every line of a task says what was taken, 0 if nothing was."
        told.problem(line, columns.name(column), None, "is empty", hint)
        return None
    if price.unit_price_micros == 0:
        hint = "Give units, or set unit_price in accounts.yaml."
        told.problem(
            line, columns.name(columns.amount), None, f"can't be turned into {price.unit} at a price of 0", hint
        )
        return None
    found = units_micros(amount_micros=amount, unit_price_micros=price.unit_price_micros)
    if abs(found) > MAX_MICROS:
        told.problem(line, columns.name(columns.amount), _cell(cells, columns.amount), TOO_MUCH, _LOOK)
        return None
    if amount * MICRO != found * price.unit_price_micros:
        told.note_line(f"amounts are no whole millionths of {price.unit} at {_price(account)}, and were rounded", line)
    return found, amount


def _number(cells: Sequence[str], position: int | None, layout: Layout, told: Told, line: int) -> int | BadCell | None:
    cell = _cell(cells, position)
    if not cell:
        return None
    found = micros(cell, decimal_comma=layout.separator != ",")
    if isinstance(found, BadCell):
        told.bad(line, layout.columns.name(position), cell, found)
    return found


def _price(account: Account) -> str:
    return f"{from_micros(account.price.unit_price_micros)} {account.price.currency} a {account.price.unit}"
