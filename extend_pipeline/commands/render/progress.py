"""Show the progress of work: a live table on a terminal, one line an event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from extend_pipeline.commands.render.event_tail import ROUTINE, EventLine
from extend_pipeline.commands.render.home import zone
from extend_pipeline.commands.render.output import console, say, text
from extend_pipeline.commands.render.text import clock
from extend_pipeline.commands.render.videos import draw, hops, length, state
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.plan.model import Plan

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

_FRAME: Final = 8  # screen lines for the table's header and footer and the prompt


class Progress:
    """A display of work under way: one line an event."""

    def __init__(self, *, err: bool = False) -> None:
        self._err = err

    @property
    def rows(self) -> int:
        """Return how many videos it shows at once."""
        return 0

    def show_events(self, events: Sequence[EventLine]) -> None:
        """Write one line an event."""
        timezone = zone() if events else ""  # once, because it is asked of the home's files
        for event in events:
            self.say(event.line(timezone))

    def show_plan(self, plan: Plan) -> None:
        """Show the state of every video. Lines need none, because the events show the changes."""

    def say(self, line: str) -> None:
        """Write one line."""
        say(line, err=self._err)

    def close(self) -> None:
        """Restore the terminal before the process ends. Lines leave it unchanged."""


class ChangedVideos(Progress):
    """Progress as one line a changed video, for work of other processes, whose events are not read."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: dict[str, str] = {}

    def show_plan(self, plan: Plan) -> None:
        """Write one line for each video that has changed since the last plan."""
        for video in plan.videos:
            line = f"{video.key}: {length(video)}, hops {hops(video)}, {state(video)}"
            if self._lines.get(video.key) != line:
                self._lines[video.key] = line
                self.say(f"{clock(plan.now_ms, zone())} {line}")


class LiveTable(Progress):
    """Progress as a table that is redrawn, below the lines of events that it doesn't show."""

    def __init__(self, live: Live, screen: Console, accounts: Mapping[str, Account]) -> None:
        super().__init__()
        self._live = live
        self._screen = screen
        self._accounts = accounts
        self._drawn: Plan | None = None

    @property
    def rows(self) -> int:
        """Return how many videos the terminal has room for."""
        return max(self._screen.height - _FRAME, 3)

    def show_events(self, events: Sequence[EventLine]) -> None:
        """Write the events that are not routine above the table."""
        super().show_events([event for event in events if event.kind not in ROUTINE])

    def show_plan(self, plan: Plan) -> None:
        """Redraw the table if the plan is a new one."""
        if plan is not self._drawn:
            self._drawn = plan
            table = draw(plan, self._accounts, rows=self.rows, width=self._screen.width)
            self._live.update(table, refresh=True)

    def say(self, line: str) -> None:
        """Write one line above the table."""
        self._screen.print(text(line))

    def close(self) -> None:
        """Show the cursor again."""
        self._screen.show_cursor(True)


@contextmanager
def progress(accounts: Mapping[str, Account], *, as_json: bool = False, watches: bool = False) -> Iterator[Progress]:
    """Yield a progress display: with `as_json` on stderr, because stdout is for the document. With `watches`, the work
    is that of other processes: plans are shown and no events, and the table stays on the terminal."""
    if as_json or not sys.stdout.isatty():
        yield ChangedVideos() if watches else Progress(err=as_json)
        return
    from rich.live import Live

    screen = console()
    with Live(console=screen, auto_refresh=False, transient=not watches) as live:
        yield LiveTable(live, screen, accounts)
