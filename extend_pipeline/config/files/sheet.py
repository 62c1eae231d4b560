"""The forms in which spreadsheets save a table as text: separators, `sep=` line, column names."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

SEPARATORS: Final = (",", ";", "\t")

_SEP_LINE: Final = re.compile(r'"?sep=([,;\t])"?', re.IGNORECASE)


class CommaCell(str):
    """A cell of a file with another separator than a comma, so that a number may have a decimal comma."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Header:
    """The separator of a table, and its first row that isn't empty. `line` is the last line of that row, counted from
    1; `names` are as written."""

    separator: str
    line: int
    names: tuple[str, ...]


def find_header(text: str, is_known: Callable[[str], bool]) -> Header:
    """Return the header of a table. Its separator is that of the `sep=` line, or else the one that gives the most known
    columns."""
    sep_line = _SEP_LINE.fullmatch(text.partition("\n")[0].strip(" \r"))
    separators = [sep_line[1]] if sep_line else SEPARATORS
    headers = [_read(text, separator, skip=sep_line is not None) for separator in separators]
    return max(headers, key=lambda header: sum(is_known(name) for name in header.names))


def plain_name(name: str) -> str:
    """Return a column's name in lower case and without spaces: `Source . Video ID` becomes `source.video_id`."""
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
