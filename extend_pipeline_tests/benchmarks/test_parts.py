"""Parts of `make bench`, as small as they can be: each measures something, and says so in the results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("part", "more"),
    [
        *((part, ()) for part in ("advance", "ledger", "warehouse", "polling", "neighbours", "writers")),
        ("table", ("--sizes", "2,3")),
        ("table", ("--database", "postgresql")),
        ("fleet", ("--scale", "0.002")),
        ("growth", ("--scale", "0.002")),
        ("partitions", ("--watch", "2")),
        ("daemon", ()),
    ],
)
def test_a_part_measures_and_writes_its_results(part: str, more: tuple[str, ...], tmp_path: Path) -> None:
    results = tmp_path / "results"
    small = ["--sizes", "2", "--hops", "2", "--scale", "0.01", "--runs", "1", "--folder", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks.bench", "--parts", part, *small, *more, "--results", str(results)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True)
    assert ended.returncode == 0, ended.stdout
    written = results.read_text(encoding="utf-8")
    assert written.count("\n## ") == 1
    assert written.count("\n| ") > 3
