"""Parse the rows of an invoice: its columns, ids, amounts and times, read exactly or refused with what to do. Pure."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from extend_pipeline.base.units import MICRO, amount_micros, from_micros, to_micros, to_ms, units_micros
from extend_pipeline.config.fields.ids import bare_id, is_rounded_number
from extend_pipeline.config.fields.moments import TwoDays, in_iso_order
from extend_pipeline.config.fields.numbers import GROUPED
from extend_pipeline.config.files.sheet import find_header, plain_name
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.reconcile.invoice.findings import Findings

# A thousand million units, or as much money: more is a mistake, and no column of the warehouse holds it.
MAX_MICROS: Final = 10**15
ROUNDED_BY: Final = 5_000  # half a cent: invoices round their amounts

UNNAMED: Final = "lines without a task's id were left out, so that what the file lacks means nothing"
TOO_MUCH: Final = "is more than any task costs"

# what each column may be called, the best name first
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "task_id": ("task_id", "taskid", "task", "id"),
    "units": ("units",),
    "amount": ("amount",),
    "currency": ("currency",),
    "at": ("at", "date", "time"),
}
_MAX_ID_LENGTH: Final = 256
_LATEST_MS: Final = 253_402_300_799_999  # the last millisecond of the year 9999
_PLAIN: Final = re.compile(r"[+-]?[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)
_MAYBE_GROUPED: Final = re.compile(r"[+-]?[1-9][0-9]{0,2}[.,][0-9]{3}", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]+,[0-9]+", re.ASCII)
_SINCE_1970: Final = re.compile(r"[0-9]{9,10}|[0-9]{12,14}", re.ASCII)  # seconds, or milliseconds
_TOTALS: Final = frozenset({"total", "totals", "sum", "subtotal", "grand total", "gesamt", "summe", "合计", "总计"})

_AS_TEXT: Final = "Export the ids as text: a spreadsheet that takes them for numbers loses their last digits."
_PLAINLY: Final = "Write plain numbers with a decimal point and nothing between the thousands, such as 1250.5."
_LOOK: Final = "Look at the line: is it a sum, or another number?"


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """The charge for one task. `units_micros` is below 0 where units were given back; `at_ms` (UTC) is None where the
    line has no time. `line` counts from 1; of lines that were added up it is the first. `amount_micros` is the amount
    in millionths of the currency, where the units were computed from it at today's price."""

    task_id: str
    units_micros: int
    at_ms: int | None
    line: int
    amount_micros: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file. `header_line` is the last line of its header, counting from 1; `names` are the columns'
    names as written, `positions` their positions by meaning, None where the file has no such column."""

    separator: str
    header_line: int
    names: tuple[str, ...]
    positions: Mapping[str, int | None]

    def name(self, meaning: str) -> str | None:
        """Return a column's name as written in the file."""
        position = self.positions[meaning]
        return None if position is None else self.names[position]

    def cell(self, cells: Sequence[str], meaning: str) -> str:
        """Return the text of a line's cell, empty where there is none."""
        position = self.positions[meaning]
        return "" if position is None or position >= len(cells) else cells[position].strip()


def find_layout(text: str, findings: Findings) -> Layout | None:
    """Return the layout of a file that is not empty; None, with issues added, where its header lacks a column."""
    header = find_header(text, lambda name: any(plain_name(name) in known for known in _NAMES.values()))
    names = tuple(name.strip() for name in header.names)
    plain = [plain_name(name) for name in names]
    positions = {
        meaning: next((plain.index(name) for name in known if name in plain), None) for meaning, known in _NAMES.items()
    }
    named = [name for name in names if name]
    shown = f"The first line names the columns; it has {', '.join(named[:12])}." if named else "It names no columns."
    count = len(findings.issues())
    if positions["task_id"] is None:
        hint = f"Name the column of the tasks' ids. {shown}"
        findings.add(header.line, "task_id", None, "is missing in the header", hint)
    if positions["units"] is None and positions["amount"] is None:
        hint = f"Name a column of units, or of an amount in the account's currency. {shown}"
        findings.add(header.line, "units", None, "is missing in the header, and so is amount", hint)
    for position in positions.values():
        if position is not None and plain.count(plain[position]) > 1:
            findings.add(header.line, plain[position], None, "stands twice in the header", "Keep one of them.")
    if len(findings.issues()) > count:
        return None
    return Layout(header.separator, header.line, names, positions)


def read_rows(text: str, layout: Layout, account: Account, findings: Findings) -> Iterator[InvoiceRow]:
    """Yield a row for each line that names a task. Add issues and notes on lines to `findings`."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=layout.separator, strict=True)
    width = len(layout.names)
    cut: tuple[int, str, int] | None = None
    number, ends = 1, text.endswith(("\n", "\r"))
    try:
        for cells in reader:
            started, number = number, reader.line_num + 1
            if started <= layout.header_line:
                continue
            cut = None
            if not any(cell.strip() for cell in cells):
                findings.note("empty lines were left out", started)
                continue
            row = _row(cells, layout, account, findings, started)
            if row is not None:
                cut = None if ends or len(cells) >= width else (started, row.task_id, len(cells))
                yield row
        if cut is not None:
            message = f"has {cut[2]} of {width} columns, and the file ends there: it is cut"
            findings.add(cut[0], None, cut[1], message, "Save it again, whole.")
    except csv.Error as error:
        findings.add(number, None, None, f"this is not CSV: {error}", "Look at the quotes from here on.")


@dataclass(frozen=True, slots=True)
class _BadCell:
    """Why a cell can't be used, as the end of a sentence about the cell, and how to fix it."""

    message: str
    hint: str


def _row(cells: Sequence[str], layout: Layout, account: Account, findings: Findings, line: int) -> InvoiceRow | None:
    spare = [cell for cell in cells[len(layout.names) :] if cell.strip()]
    if spare:
        hint = "Quote cells that hold the separator; a decimal comma needs a file that is separated by semicolons."
        findings.add(line, None, spare[0], "stands in a column without a name", hint)
        return None
    task_id = bare_id(layout.cell(cells, "task_id"))
    if any(cell.rstrip(":").strip().lower() in _TOTALS for cell in (task_id, *(cells if not task_id else ()))):
        findings.note("totals were left out", line)
        return None
    if not task_id:
        findings.note(UNNAMED, line)
        return None
    bad_id = _check_id(task_id)
    if bad_id is not None:
        findings.add(line, layout.name("task_id"), task_id, bad_id.message, bad_id.hint)
    at_ms = _time(cells, layout, findings, line)
    currency = layout.cell(cells, "currency")
    if currency and currency.upper() != account.price.currency:
        hint = f"Is it the invoice of another account? {account.name} is charged in {account.price.currency}."
        findings.add(line, layout.name("currency"), currency, f"is not the currency of {account.name}", hint)
    charge = _charge(cells, layout, account, findings, line)
    return None if bad_id is not None or charge is None else InvoiceRow(task_id, charge[0], at_ms, line, charge[1])


def _check_id(text: str) -> _BadCell | None:
    """Return what is wrong with an id, if anything. An id that a spreadsheet has rounded is refused."""
    if is_rounded_number(text):
        return _BadCell("is a number that a spreadsheet has rounded, and no task's id", _AS_TEXT)
    if text.startswith("="):
        return _BadCell("is a formula, and no task's id", _AS_TEXT)
    if len(text) > _MAX_ID_LENGTH or any(not "!" <= char <= "~" for char in text):
        return _BadCell("can't be a task's id", "Ids are letters, digits and signs without spaces.")
    return None


def _charge(
    cells: Sequence[str], layout: Layout, account: Account, findings: Findings, line: int
) -> tuple[int, int | None] | None:
    """Return the units of a line, and the amount where the units were computed from it."""

    def refuse(column: str, cell: str | None, message: str, hint: str) -> tuple[int, int | None] | None:
        findings.add(line, layout.name(column), cell, message, hint)
        return None

    numbers: dict[str, int | None] = {}
    for column in ("units", "amount"):
        cell = layout.cell(cells, column)
        number = _micros(cell, decimal_comma=layout.separator != ",") if cell else None
        if isinstance(number, _BadCell):
            refuse(column, cell, number.message, number.hint)
        else:
            numbers[column] = number
    if len(numbers) < 2:
        return None
    for column, micros in numbers.items():
        if micros is not None and abs(micros) > MAX_MICROS:
            return refuse(column, layout.cell(cells, column), TOO_MUCH, _LOOK)
    units, amount, price = numbers["units"], numbers["amount"], account.price
    named = f"{from_micros(price.unit_price_micros)} {price.currency} a {price.unit}"
    if units is not None:
        expected = amount_micros(units_micros=units, unit_price_micros=price.unit_price_micros)
        if amount is not None and abs(amount - expected) > ROUNDED_BY:
            findings.note(f"amounts are not the units at {named}; the units count", line)
        return units, None
    if amount is None:
        column = "amount" if layout.positions["units"] is None else "units"
        return refuse(column, None, "is empty", "Every line of a task says what was taken, 0 if nothing was.")
    if price.unit_price_micros == 0:
        hint = "Give units, or set unit_price in accounts.yaml."
        return refuse("amount", None, f"can't be turned into {price.unit} at a price of 0", hint)
    computed = units_micros(amount_micros=amount, unit_price_micros=price.unit_price_micros)
    if abs(computed) > MAX_MICROS:
        return refuse("amount", layout.cell(cells, "amount"), TOO_MUCH, _LOOK)
    if amount * MICRO != computed * price.unit_price_micros:
        findings.note(f"amounts are no whole millionths of {price.unit} at {named}, and were rounded", line)
    return computed, amount


def _micros(text: str, *, decimal_comma: bool) -> int | _BadCell:
    """Return a plain number in millionths, exactly. With `decimal_comma` a comma may be the decimal sign, and a number
    that could also have a thousands separator is refused; without it, every comma is refused."""
    if decimal_comma:
        if _MAYBE_GROUPED.fullmatch(text):
            return _BadCell("may be a fraction as well as thousands", _PLAINLY)
        if text.count(",") == 1 and "." not in text:
            text = text.replace(",", ".")
    elif _DECIMAL_COMMA.fullmatch(text):
        return _BadCell("has a comma in it", _PLAINLY)
    if not _PLAIN.fullmatch(text):
        grouped = GROUPED.fullmatch(text) is not None
        return _BadCell("has separators between its thousands" if grouped else "is not a plain number", _PLAINLY)
    try:
        return to_micros(Decimal(text))
    except ValueError:
        return _BadCell("can't be counted in millionths", "Give at most six decimals and twelve digits before them.")


def _time(cells: Sequence[str], layout: Layout, findings: Findings, line: int) -> int | None:
    """Return a line's time in UTC ms. It is ISO 8601, where a date alone means its first moment in UTC, or seconds or
    milliseconds since 1970."""
    cell = layout.cell(cells, "at")
    if not cell:
        return None
    text = in_iso_order(cell)
    if isinstance(text, TwoDays):
        findings.add(line, layout.name("at"), cell, text.message, text.hint)
        return None
    if _SINCE_1970.fullmatch(text):
        return int(text) * (1000 if len(text) <= 10 else 1)
    moment = _moment(text)
    if moment is None:
        hint = "Write ISO 8601, such as 2026-11-01T08:00:00Z or 2026-11-01."
        findings.add(line, layout.name("at"), cell, "is no time that can be read", hint)
        return None
    zoned = moment.tzinfo is not None
    ms = to_ms(moment if zoned else moment.replace(tzinfo=UTC))
    if not 0 <= ms <= _LATEST_MS:
        findings.add(line, layout.name("at"), cell, "lies before 1970", "Give the time of the charge.")
        return None
    if not zoned:
        findings.note("times without a zone are taken to be UTC")
    return ms


def _moment(text: str) -> datetime | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001 - the caller adds the zone
