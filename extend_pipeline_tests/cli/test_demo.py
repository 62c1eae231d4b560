"""The demo, as `make demo` runs it: a sandbox, a Dagster daemon, its sensors and runs, and a report that adds up."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "data" / "demo"
FILES = ("accounts.yaml", "catalog.yaml", "sandbox.json")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timeout(300)
def test_the_demo_ends_by_itself_and_everything_adds_up(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    home.mkdir()
    port = str(free_port())
    for name in FILES:
        (home / name).write_text((DEMO / name).read_text(encoding="utf-8").replace("8791", port), encoding="utf-8")
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(home), "demo", "--max-seconds", "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env={**os.environ})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "each longer than its parent: yes, as long as its probed file: yes" in done.stdout
    for provider in ("kling", "kling-gateway", "luma", "vidu"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"charges of {provider}: "))
        ours, theirs = (part.split()[0] for part in line.partition(": ")[2].split(", "))
        assert ours == theirs
        assert float(ours) > 0
    assert "old-lighthouse: not extended: its source could be extended until 2026-02-14" in done.stdout
    again = subprocess.run([*command[:5], "status"], capture_output=True, text=True, check=False, timeout=60)
    assert again.returncode == 1  # old-lighthouse needs somebody
    shutil.rmtree(home / "state")


def test_a_state_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    for name in FILES:
        shutil.copy(DEMO / name, tmp_path / name)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "mine.txt").write_text("precious")
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(tmp_path), "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "was not made by a demo" in done.stderr
    assert (tmp_path / "state" / "mine.txt").read_text() == "precious"
