"""How an invoice is laid out: its separator, and which column holds what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.config.files.sheet import find_header, plain_name
from extend_pipeline.config.issues import ConfigIssue

# What each column may be called, the best name first.
_NAMES: Final[dict[str, tuple[str, ...]]] = {
    "task_id": ("task_id", "taskid", "task", "id"),
    "units": ("units",),
    "amount": ("amount",),
    "currency": ("currency",),
    "at": ("at", "date", "time"),
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Positions by meaning, None where a file has no such column, and the names as written."""

    written: tuple[str, ...]
    task_id: int
    units: int | None
    amount: int | None
    currency: int | None
    at: int | None

    def name(self, position: int | None) -> str | None:
        """A column's name as the file writes it."""
        return None if position is None else self.written[position]


@dataclass(frozen=True, slots=True)
class Layout:
    """`header_line` is the last line of the header, counting from 1; `width` how many columns it names."""

    separator: str
    header_line: int
    columns: Columns

    @property
    def width(self) -> int:
        """How many columns there are."""
        return len(self.columns.written)


def find_layout(text: str, file: str) -> Layout | tuple[ConfigIssue, ...]:
    """The layout of a file that is not empty, or what its header lacks."""
    header = find_header(text, lambda name: _meaning(name) is not None)
    problems = _problems(header.names, file, header.line)
    if problems:
        return problems
    positions = {meaning: _position(header.names, meaning) for meaning in _NAMES}
    return Layout(
        header.separator,
        header.line,
        Columns(
            written=tuple(name.strip() for name in header.names),
            task_id=positions["task_id"] or 0,
            units=positions["units"],
            amount=positions["amount"],
            currency=positions["currency"],
            at=positions["at"],
        ),
    )


def _problems(names: Sequence[str], file: str, line: int) -> tuple[ConfigIssue, ...]:
    def problem(column: str | None, message: str, hint: str) -> ConfigIssue:
        return ConfigIssue(file, line, None, column, None, message, hint)

    there = [name.strip() for name in names if name.strip()]
    shown = f"The first line names the columns; it has {', '.join(there[:12])}." if there else "It names no columns."
    found = []
    if _position(names, "task_id") is None:
        found.append(problem("task_id", "is missing in the header", f"Name the column of the tasks' ids. {shown}"))
    if _position(names, "units") is None and _position(names, "amount") is None:
        hint = f"Name a column of units, or of an amount in the account's currency. {shown}"
        found.append(problem("units", "is missing in the header, and so is amount", hint))
    twice = [name for name in _used(names) if sum(plain_name(other) == name for other in names) > 1]
    found += [problem(name, "stands twice in the header", "Keep one of them.") for name in twice]
    return tuple(found)


def _used(names: Sequence[str]) -> list[str]:
    positions = [_position(names, meaning) for meaning in _NAMES]
    return [plain_name(names[position]) for position in positions if position is not None]


def _position(names: Sequence[str], meaning: str) -> int | None:
    plain = [plain_name(name) for name in names]
    return next((plain.index(name) for name in _NAMES[meaning] if name in plain), None)


def _meaning(name: str) -> str | None:
    return next((meaning for meaning, known in _NAMES.items() if plain_name(name) in known), None)
