"""How a spreadsheet saves a table as text: what separates cells, its `sep=` line, and how columns are called."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SEPARATORS: Final = (",", ";", "\t")

_SEP_LINE: Final = re.compile(r'"?sep=([,;\t])"?', re.IGNORECASE)


class CommaCell(str):
    """A cell of a file whose cells no comma separates: a number in it may have a decimal comma."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Header:
    """What separates the cells of a table, and its first row that isn't empty. `line` is the last line of that row,
    counting from 1; `names` are as written."""

    separator: str
    line: int
    names: tuple[str, ...]


def find_header(text: str, is_known: Callable[[str], bool]) -> Header:
    """Return the header of a table. What separates its cells is what its `sep=` line says, or else what gives most
    columns that are known."""
    said = _SEP_LINE.fullmatch(text.partition("\n")[0].strip(" \r"))
    headers = [_read(text, separator, skip=said is not None) for separator in ([said[1]] if said else SEPARATORS)]
    return max(headers, key=lambda header: sum(is_known(name) for name in header.names))


def plain_name(name: str) -> str:
    """Return a column's name in lower case and without spaces: `Source . Video ID` is `source.video_id`."""
    return re.sub(r"[\s-]+", "_", re.sub(r"\s*\.\s*", ".", name.strip().lower()))


def _read(text: str, separator: str, *, skip: bool) -> Header:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        for row in rows:
            if rows.line_num > int(skip) and any(cell.strip() for cell in row):
                return Header(separator, rows.line_num, tuple(row))
    except csv.Error:
        pass
    return Header(separator, max(rows.line_num, 1), ())
