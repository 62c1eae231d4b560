"""A live table of videos on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

from extend_pipeline.commands.output import console, say, text
from extend_pipeline.commands.text import clock

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from extend_pipeline.engine.plan_types import VideoPlan
    from extend_pipeline.engine.status import Status

BAR = 24  # characters


class Watcher:
    """Shows one status after the other for as long as it is open."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(console=console(), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(self, *_: Any) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, now: Status) -> None:
        """Draw the table, or say what changed since the last time."""
        if self._live is not None:
            self._live.update(_table(now), refresh=True)
            return
        for video in now.plan.videos:
            line = _line(video)
            if self._told.get(video.key) != line:
                self._told[video.key] = line
                say(f"{clock(now.plan.now_ms)} {line}")


def _line(video: VideoPlan) -> str:
    return f"{video.key}: {_seconds(video.current_ms)} of {_goal(video)}, hop {video.hops_done}, {_doing(video)}"


def _table(now: Status) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for name in ("video", "", "length", "hop", "state"):
        table.add_column(name)
    for video in now.plan.videos:
        hop = str(video.hops_done)
        length = f"{_seconds(video.current_ms)} of {_goal(video)}"
        table.add_row(text(video.key), text(_bar(video), "cyan"), text(length), hop, text(_doing(video)))
    for account in now.accounts:
        table.caption = f"{account.account}: {account.committed} {account.unit}, {account.amount} {account.currency}"
    return table


def _bar(video: VideoPlan) -> str:
    if video.target_steps is not None:
        part = video.hops_done / video.target_steps
    else:
        part = (video.current_ms or 0) / (video.target_ms or 1)
    full = min(BAR, round(part * BAR))
    return "█" * full + "░" * (BAR - full)


def _seconds(ms: int | None) -> str:
    return "?" if ms is None else f"{ms / 1000:.1f} s"


def _goal(video: VideoPlan) -> str:
    return f"{video.target_steps} hops" if video.target_steps is not None else _seconds(video.target_ms)


def _doing(video: VideoPlan) -> str:
    if video.hindrance is not None:
        return video.hindrance.message
    if video.running is not None:
        return video.running.state.value
    return "due" if video.due is not None else video.state.value
