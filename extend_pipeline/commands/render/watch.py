"""A live table of videos on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from extend_pipeline.commands.render.output import console, say
from extend_pipeline.commands.render.progress import draw_on, state
from extend_pipeline.commands.render.tables import hops, length
from extend_pipeline.commands.render.text import clock
from extend_pipeline.config.model.account import Account

if TYPE_CHECKING:
    from rich.live import Live

    from extend_pipeline.engine.plan.model import VideoPlan
    from extend_pipeline.engine.status import Status


class Watcher:
    """Shows one status after the other for as long as it is open."""

    def __init__(self, accounts: Mapping[str, Account]) -> None:
        self._accounts = accounts
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
            self._live.update(draw_on(self._live.console, now.plan, self._accounts), refresh=True)
            return
        for video in now.plan.videos:
            line = _line(video)
            if self._told.get(video.key) != line:
                self._told[video.key] = line
                say(f"{clock(now.plan.now_ms)} {line}")


def _line(video: VideoPlan) -> str:
    return f"{video.key}: {length(video)}, hops {hops(video)}, {state(video)}"
