"""How verbs write: one JSON document, or tables. Rich is imported only where a table is drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from extend_pipeline.base.days import in_zone
from extend_pipeline.commands.text import iso, plain, visible
from extend_pipeline.commands.zone import zone

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_UNBOUNDED: Final = 10_000  # columns where nobody's screen sets a limit: a line in a pipe is never wrapped

json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    right: bool = False
    whole: bool = False  # never folded: what a person copies


def emit(document: object) -> None:
    """Write one JSON document. ASCII only, so that nothing in it can act on a terminal."""
    click.echo(json.dumps(document, indent=2, default=_encode))


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr as they are now."""
    from rich.console import Console

    file: TextIO = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() else _UNBOUNDED
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def text(value: str, style: str = "") -> Text:
    """A piece of text that is shown as it stands: no markup, no control characters."""
    from rich.text import Text

    return Text(visible(_shown(value)), style=style)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, title: str = "") -> None:
    """Draw a table of plain strings."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title=text(title) if title else None)
    for column in columns:
        table.add_column(
            text(column.name),
            justify="right" if column.right else "left",
            no_wrap=column.whole,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(text(cell) for cell in row))
    console().print(table)


def say(line: str, *, err: bool = False) -> None:
    """Write one line."""
    click.echo(visible(_shown(line)), err=err)


def _shown(sentence: str) -> str:
    return in_zone(sentence, zone()) if " UTC" in sentence else sentence


def _encode(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return str(iso(int(value.timestamp() * 1000)))
    raise TypeError(f"{type(value).__name__} has no form in JSON here")
