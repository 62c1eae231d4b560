"""Tables in Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path


@dataclass
class Section:
    """One part of the results: a heading, tables and notes, in the order in which they were added."""

    heading: str
    lines: list[str] = field(default_factory=list)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table. The first column is text, the others are numbers."""
        ruler = ["---", *("---:" for _ in columns[1:])]
        self.lines += ["", *(f"| {' | '.join(cells)} |" for cells in (columns, ruler, *rows)), ""]

    def note(self, text: str) -> None:
        """Add a paragraph."""
        self.lines += ["", text]

    def markdown(self) -> str:
        """Return the section's text."""
        return "\n".join([f"## {self.heading}", *self.lines]).rstrip() + "\n"


def seconds(value: float | None, *, limit_s: float | None = None) -> str:
    """Return seconds as people read them; `> 60 s` where a limit cut them, `–` where there are none."""
    if value is None:
        return "–"
    if limit_s is not None and value >= limit_s:
        return f"> {limit_s:g} s"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s" if value < 10 else f"{value:.1f} s"


def ratio(part: float, whole: float) -> str:
    """Return how many times `whole` goes into `part`."""
    return f"{part / whole:.2f}" if whole else "–"


def session() -> str:
    """Return the lines that tell when, where and of what the results are."""
    commit = _output("git", "rev-parse", "--short", "HEAD") + ("+" if _output("git", "status", "--porcelain") else "")
    processor = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    when = datetime.now(UTC)
    load = os.getloadavg()[0]
    return (
        f"{when:%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}, Python {platform.python_version()}, "
        f"{os.cpu_count()} × {processor}; load before: {load:.1f}\n"
    )


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
