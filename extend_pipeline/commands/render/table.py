"""Draw a table that fits the screen: columns of high rank are left out first, then rows become blocks of lines.

Numbers, ids and names are never broken; prose is broken between words. Rich is imported only when something is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from extend_pipeline.commands.render.output import console, on_screen, say, text
from extend_pipeline.commands.render.text import cells, wrapped

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    Cell = str | Text

GAP: Final = 2  # screen columns between two columns of a table
READABLE: Final = 24  # smallest width of prose, in screen columns


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. Rank 0 is always shown; on a narrow screen the highest rank is left out first."""

    name: str
    right: bool = False
    prose: bool = False
    rank: int = 0


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table to stdout, and name the columns for which the screen is too narrow."""
    screen, listed = console(), list(rows)
    screen.print(drawn(columns, listed, screen.width), soft_wrap=True)
    narrow = _narrow(columns, listed, screen.width)
    shown = fit(columns, narrow, screen.width)
    hidden = [columns[place].name for place in sorted(_filled(columns, narrow) - (shown or {}).keys())]
    if shown and hidden:
        say(f"no room for: {', '.join(hidden)}; a wider screen and --json have all")


def drawn(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> RenderableType:
    """Return a table of at most `width` screen columns. Rows that are too wide even with rank 0 alone follow as blocks,
    each with all its columns."""
    from rich.console import Group

    narrow = _narrow(columns, rows, width)
    widths = fit(columns, narrow, width)
    if widths is None:
        return blocks(columns, rows, width)
    table = _table(columns, narrow, widths)
    if len(narrow) == len(rows):
        return table
    wide = blocks(columns, [row for row in rows if row not in narrow], width)
    return Group(table, text(""), wide) if narrow else wide


def _narrow(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Sequence[Sequence[Cell]]:
    """Return the rows of which each fits into a table of its own."""
    if fit(columns, rows, width) is not None:
        return rows
    return [row for row in rows if fit(columns, [row], width) is not None]


def fit(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> dict[int, int] | None:
    """Return the width of each shown column, by its index; None if even the columns of rank 0 are too wide."""
    shown = sorted(_filled(columns, rows))
    while True:
        widths = _widths(columns, rows, shown, width)
        if widths is not None:
            return widths
        optional = [place for place in shown if columns[place].rank]
        if not optional:
            return None
        shown.remove(max(optional, key=lambda place: columns[place].rank))


def _filled(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> set[int]:
    """Return the indices of the columns that have a value or rank 0."""
    return {place for place, column in enumerate(columns) if not column.rank or any(row[place] for row in rows)}


def _widths(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], shown: Sequence[int], width: int
) -> dict[int, int] | None:
    """Return the widths of these columns, with prose and headers narrowed as far as needed; None if they still don't
    fit."""
    widths: dict[int, int] = {}
    least: dict[int, int] = {}
    for place in shown:
        column, filled = columns[place], [_plain(row[place]) for row in rows]
        whole = max(map(cells, filled), default=0)
        longest_word = max((cells(word) for cell in filled for word in cell.split()), default=0)
        narrow = max(longest_word, min(whole, READABLE)) if column.prose else whole
        widths[place] = max(whole, cells(column.name))
        least[place] = max(narrow, *map(cells, column.name.split()), 1)
    room = width - GAP * (len(shown) - 1)
    while sum(widths.values()) > room:
        wide = [place for place in shown if widths[place] > least[place]]
        if not wide:
            return None
        widths[max(wide, key=widths.__getitem__)] -= 1
    return widths


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], widths: dict[int, int]) -> RenderableType:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, width in widths.items():
        column = columns[place]
        table.add_column(text(column.name), justify="right" if column.right else "left", width=width, overflow="fold")
    for row in rows:
        table.add_row(*(_styled(row[place]) for place in widths))
    return table


def blocks(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> RenderableType:
    """Return a line for each value of a row, and an empty line between rows."""
    from rich.console import Group
    from rich.text import Text

    label = max(cells(column.name) for column in columns) + GAP
    lines: list[Text] = []
    for row in rows:
        for column, cell in zip(columns, row, strict=True):
            if cell:
                head = f"{column.name}{' ' * (label - cells(column.name))}"
                lines.append(text(head, "dim").append_text(_hanging(_styled(cell), indent=label, width=width)))
        lines.append(Text())
    return Group(*lines)


def _hanging(cell: Text, *, indent: int, width: int) -> Text:
    """Return the cell in lines of at most `width` columns, all but the first indented. A wider word stays whole."""
    from rich.text import Text

    lines = wrapped(cell.plain, width - indent)
    return cell if len(lines) < 2 else Text(f"\n{' ' * indent}".join(lines), style=cell.style)


def _plain(cell: Cell) -> str:
    return on_screen(cell) if isinstance(cell, str) else cell.plain


def _styled(cell: Cell) -> Text:
    return text(cell) if isinstance(cell, str) else cell
