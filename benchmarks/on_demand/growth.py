"""Throughput while finished videos grow in number: one `advance` over 20,000 videos of one hop."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Final

from benchmarks.context import Context
from benchmarks.measure import ProgramFailedError, run
from benchmarks.on_demand.fleet import speed, stored_at
from benchmarks.report import Section, ratio
from benchmarks.upstream import upstream
from benchmarks.worlds import seeds, write_world
from extend_pipeline.ledger.database import open_ledger

VIDEOS: Final = 20_000
COMPARED: Final = VIDEOS // 1_000
"""The first and the last 1 in so many videos are compared: 1,000 of each."""

_ALONE: Final = (sys.executable, "-m", "benchmarks.without_films")


def measure(context: Context) -> Section:
    """Measure the money path, on which looking at films hides nothing."""
    videos = max(2 * COMPARED, context.scaled(VIDEOS))
    part = videos // COMPARED
    section = Section(f"`advance --until-idle` on {videos:,} videos of one hop")
    section.note(f"Hops a second over the first and the last {part:,} videos, from one film stored to another.")
    times = _advance(context, videos)
    first = speed(times[: part + 1])
    spans = {"all": times, f"first {part:,}": times[: part + 1], f"last {part:,}": times[-part - 1 :]}
    rows = [[name, f"{speed(span):.1f}", ratio(speed(span), first)] for name, span in spans.items()]
    section.table(["videos", "hops/s", "/ first"], rows)
    return section


def _advance(context: Context, videos: int) -> list[int]:
    """Extend all videos; return when each film was stored (UTC ms)."""
    home, state = context.home("growth"), context.home("sandbox").settings.home
    with upstream(state, seeds=seeds("kling", videos)) as sandbox:
        write_world(home.settings.home, "kling", videos, sandbox.base_url)
        cost = run([*_ALONE, "advance", "--until-idle"], home.environment, limit_s=300 + videos, codes=(0, 1))
    with closing(open_ledger(home.settings.ledger_url)) as ledger:
        times = stored_at(ledger)
    if len(times) != videos:
        raise ProgramFailedError(f"{len(times)} of {videos} hops were stored:\n{cost.output[-2000:]}")
    return times
