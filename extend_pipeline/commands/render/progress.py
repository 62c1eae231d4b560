"""Shows work while it goes on: a live table on a terminal, one line an event elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from extend_pipeline.commands.render.event_tail import Happening
from extend_pipeline.commands.render.output import console, say, text
from extend_pipeline.commands.render.table import Column, drawn
from extend_pipeline.commands.render.tables import cost_left, hops, length, state_word
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.ledger.states import VideoState

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

_BAR: Final = 16  # characters of a bar
_FRAME: Final = 8  # lines that the table's head, its end and the prompt take
_COLUMNS: Final = (
    Column("video"),
    Column("", rank=2),
    Column("length", right=True),
    Column("hop", right=True, rank=1),
    Column("state", prose=True),
    Column("left", rank=3),
)
_ORDER: Final = {VideoState.WORKING: 0, VideoState.WAITING: 1, VideoState.BLOCKED: 2, VideoState.COMPLETE: 3}


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
def progress(accounts: Mapping[str, Account], *, as_json: bool) -> Iterator[Progress]:
    """The fitting way to show work: stdout belongs to the document where JSON was asked for."""
    if as_json or not sys.stdout.isatty():
        yield Lines(err=as_json)
        return
    from rich.live import Live

    screen = console()
    with Live(console=screen, auto_refresh=False, transient=True) as live:
        yield LiveTable(live, screen, accounts)


def draw_on(screen: Console, plan: Plan, accounts: Mapping[str, Account]) -> RenderableType:
    """Return the table for a screen as large as it is now."""
    return draw(plan, accounts, rows=max(screen.height - _FRAME, 3), width=screen.width)


def draw(plan: Plan, accounts: Mapping[str, Account], *, rows: int, width: int) -> RenderableType:
    """Return a table of at most so many videos: those at work first, a line for the rest."""
    from rich.console import Group

    ordered = sorted(plan.videos, key=lambda video: _ORDER.get(video.state, 9))
    table = drawn(_COLUMNS, [_row(video, accounts[video.account]) for video in ordered[:rows]], width)
    if len(ordered) <= rows:
        return table
    counts = Counter(map(state_word, ordered[rows:]))
    rest = ", ".join(f"{count} {name}" for name, count in counts.items())
    return Group(table, text(f"and {len(ordered) - rows} more: {rest}"))


def _row(video: VideoPlan, account: Account) -> list[str | Text]:
    return [
        text(video.key, "bold"),
        text(bar(video), "green" if video.state is VideoState.COMPLETE else "cyan"),
        length(video),
        hops(video),
        text(state(video), "red" if video.state is VideoState.BLOCKED else ""),
        cost_left(video, account)[0],
    ]


def bar(video: VideoPlan) -> str:
    """How far a video is on its way to its target, as a bar of text."""
    if video.state is VideoState.COMPLETE:
        share = 1.0
    elif video.target_ms is not None:
        share = (video.current_ms or 0) / video.target_ms
    else:
        share = video.hops_done / max(video.target_steps or 1, 1)
    full = min(int(share * _BAR), _BAR)
    return "█" * full + "░" * (_BAR - full)


def state(video: VideoPlan) -> str:
    """What a video is doing: its running attempt's state, what it waits for, or its own state."""
    if video.blocker is not None:
        return video.blocker.reason.value.replace("_", " ")
    if video.running is not None:
        return video.running.state.value
    return "due" if video.due is not None else video.state.value
