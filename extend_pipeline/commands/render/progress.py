"""Shows work while it goes on: a live table on a terminal, one line an event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from extend_pipeline.commands.render.event_tail import Happening
from extend_pipeline.commands.render.output import console, say, text
from extend_pipeline.commands.render.text import clock
from extend_pipeline.commands.render.videos import draw_on, hops, length, state
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.plan.model import Plan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live


class Progress(Protocol):
    """Where work is shown."""

    def happened(self, news: Sequence[Happening]) -> None:
        """Show what is new."""
        ...

    def planned(self, plan: Plan) -> None:
        """Show how far everything is."""
        ...

    def say(self, line: str) -> None:
        """Show one line."""
        ...

    def leave(self) -> None:
        """Give the terminal back; nothing is shown after this."""
        ...


class Lines:
    """One line an event."""

    def __init__(self, *, err: bool) -> None:
        self._err = err

    def happened(self, news: Sequence[Happening]) -> None:
        """Write the events."""
        for event in news:
            say(event.line(), err=self._err)

    def planned(self, plan: Plan) -> None:
        """Nothing: the events tell."""

    def say(self, line: str) -> None:
        """Write one line."""
        say(line, err=self._err)

    def leave(self) -> None:
        """Nothing to give back."""


class ChangedVideos(Lines):
    """One line a video that has changed, for work of which no events are read."""

    def __init__(self) -> None:
        super().__init__(err=False)
        self._lines: dict[str, str] = {}

    def planned(self, plan: Plan) -> None:
        """Write what has changed since the last plan."""
        for video in plan.videos:
            line = f"{video.key}: {length(video)}, hops {hops(video)}, {state(video)}"
            if self._lines.get(video.key) != line:
                self._lines[video.key] = line
                self.say(f"{clock(plan.now_ms)} {line}")


class LiveTable:
    """A table that is drawn again while it changes; what is worth a look stays above it."""

    def __init__(self, live: Live, screen: Console, accounts: Mapping[str, Account]) -> None:
        self._live = live
        self._screen = screen
        self._accounts = accounts
        self._drawn: Plan | None = None

    def happened(self, news: Sequence[Happening]) -> None:
        """Write what is not routine above the table."""
        for event in news:
            if not event.routine:
                self._screen.print(text(event.line()))

    def planned(self, plan: Plan) -> None:
        """Draw the table anew."""
        if plan is not self._drawn:
            self._drawn = plan
            self._live.update(draw_on(self._screen, plan, self._accounts), refresh=True)

    def say(self, line: str) -> None:
        """Write one line above the table."""
        self._screen.print(text(line))

    def leave(self) -> None:
        """Show the cursor again."""
        self._screen.show_cursor(True)


@contextmanager
def progress(accounts: Mapping[str, Account], *, as_json: bool = False, watches: bool = False) -> Iterator[Progress]:
    """Yield the fitting way to show work: stdout belongs to the document where JSON was asked for. What only `watches`
    the work of other processes shows plans and no events, and leaves its table on the terminal."""
    if as_json or not sys.stdout.isatty():
        yield ChangedVideos() if watches else Lines(err=as_json)
        return
    from rich.live import Live

    screen = console()
    with Live(console=screen, auto_refresh=False, transient=not watches) as live:
        yield LiveTable(live, screen, accounts)
