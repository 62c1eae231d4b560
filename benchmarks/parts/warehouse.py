"""Publish and views with the most videos of the run, and how long writers wait while something reads everything."""

from __future__ import annotations

from benchmarks.context import Context
from benchmarks.measure import probe
from benchmarks.on_demand.writers import COLUMNS, beside_a_writer
from benchmarks.report import Section, seconds


def measure(context: Context) -> Section:
    """Measure on the largest home."""
    size = max(context.sizes)
    home = context.finished_home(size)
    section = Section(f"Publish, views and writers at {size * context.hops:,} attempts ({context.database})")
    section.table(["beside a writer", *COLUMNS], beside_a_writer(context, home))
    _, views = probe("views", home.environment, limit_s=3 * context.limit_s)
    section.table(
        ["view", "first 100 rows", "all rows"],
        [
            [f"`{name}`", *(seconds(each) if each is not None else "> 20 s" for each in pair)]
            for name, pair in views.items()
        ],
    )
    return section
