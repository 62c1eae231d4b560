"""Write JSON documents and lines of text. Rich is imported only when something is drawn."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

from extend_pipeline.base.days import in_zone
from extend_pipeline.commands.render.home import zone
from extend_pipeline.commands.render.text import cells, iso, plain, visible, wrapped

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_CHUNKS: Final = 10_000  # of a JSON document, some characters each, that are written at once
PIPE_WIDTH: Final = 120  # columns of a table in a pipe or a file, if COLUMNS isn't set

json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout.")


class Lazy(list[Any]):
    """A list of a JSON document whose items are made one by one while it is written."""

    def __init__(self, make: Callable[[Any], object], of: Sequence[Any]) -> None:
        super().__init__()
        self._make, self._of = make, of

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[Any]:
        return map(self._make, self._of)


def emit(document: object) -> None:
    """Write one JSON document, in pieces. ASCII only, so that nothing in it can act on a terminal."""
    chunks = json.JSONEncoder(indent=2, default=_encode).iterencode(document)
    while piece := "".join(itertools.islice(chunks, _CHUNKS)):
        click.echo(piece, nl=False)
    click.echo()


def console(*, stderr: bool = False) -> Console:
    """Return a console on the current stdout or stderr."""
    from rich.console import Console

    file: TextIO = sys.stderr if stderr else sys.stdout
    width = None if file.isatty() or os.environ.get("COLUMNS", "").isdigit() else PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False)


def text(value: str, style: str = "") -> Text:
    """Return text for Rich, without markup and with control characters escaped."""
    from rich.text import Text

    return Text(on_screen(value), style=style)


def say(line: str, *, err: bool = False) -> None:
    """Write one line. A terminal gets long sentences in several lines; indented lines and commands stay whole, because
    operators copy them."""
    line, stream = on_screen(line), sys.stderr if err else sys.stdout
    if stream.isatty() and not line.startswith(" ") and "extend-pipeline " not in line:
        width = console(stderr=err).width
        line = "\n  ".join(wrapped(line, width - 2)) if cells(line) > width else line
    click.echo(line, err=err)


def drop_stdout() -> None:
    """Drop what is written to stdout from now on, because it can't be written and Python would try again at exit."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123 - to the end


def on_screen(line: str) -> str:
    """Return a line with its times in the home's zone, and with control characters escaped."""
    return visible(in_zone(line, zone()) if " UTC" in line else line)


def _encode(value: Any) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return str(iso(int(value.timestamp() * 1000)))
    raise TypeError(f"{type(value).__name__} can't be written as JSON")
