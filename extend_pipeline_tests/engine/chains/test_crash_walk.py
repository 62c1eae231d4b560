"""`kill -9` at every failpoint, then another process that finishes the work: never paid twice, no half file."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.base.failpoints import ENVIRONMENT, POINTS
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline_tests.support.home.engine_home import EngineHome, entry, source_id
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.processes.children import advancing
from extend_pipeline_tests.support.servers.postgres import PostgresServer

VIDEOS, STEPS = 2, 2
LOST_ANSWERS: list[dict[str, Any]] = [
    {"kind": "reset_after", "where": "submit"},
    {"kind": "reset_after", "where": "submit", "skip": 2},
]
# only the lease distinguishes a dead downloader from a slow one
PAST_A_LEASE_MS = 8_000
_databases = itertools.count()


# what an advance passes; the others are in commands of their own, with tests of their own
ADVANCED = [point for point in POINTS if not point.startswith(("reconcile.", "callbacks.", "copy."))]


@dataclass(frozen=True)
class Walk:
    """A failpoint, and the number of the hit of it that kills."""

    point: str
    hit: int

    @property
    def armed(self) -> str:
        """Return the value of the environment variable that arms it."""
        return f"{self.point}=kill@{self.hit}"

    @property
    def around_a_fetch(self) -> bool:
        """Return whether the kill concerns films and the confined processes that read them."""
        return self.point.startswith("collect")


def walks(part: str) -> list[Walk]:
    """Return a walk for every failpoint of a part; of submit and recover also at the second hit, amid other work."""
    hits = (1, 2) if part in ("submit", "recover") else (1,)
    return [Walk(point, hit) for point in POINTS if point.startswith(part) for hit in hits]


def settings_of(home: EngineHome) -> dict[str, Any]:
    """Return the settings that a child opens the home with."""
    return {"home": home.path, "ledger_url": home.ledger_url, **home.options}


def know_a_task(home: EngineHome) -> None:
    """Make the first hop of the first video: "no such task" proves something only where one is known to exist."""
    whole = (home.path / "catalog.yaml").read_text()
    home.catalogue([entry("v000", source_id(0), steps=1)])
    assert advancing(settings_of(home), home.path / "first.txt", confined=False).wait() == 0
    (home.path / "catalog.yaml").write_text(whole)


def killed_and_recovered(home: EngineHome, walk: Walk) -> int:
    """Kill one process, let another finish, and check everything; return the number of charges."""
    home.seeded(VIDEOS, steps=STEPS)
    if walk.point.startswith("recover"):
        home.sandbox.faults(LOST_ANSWERS)
    settings = settings_of(home)
    if walk == Walk("submit.after_sending", 1):
        know_a_task(home)
    confined = walk.around_a_fetch
    victim = advancing(settings, home.path / "victim.txt", points=walk.armed, confined=confined)
    assert victim.wait() == -signal.SIGKILL, f"{walk} was not reached; its output: {victim.output_text}"
    skipped = PAST_A_LEASE_MS if walk.around_a_fetch else 0
    heir = advancing(settings, home.path / "heir.txt", skipped_ms=skipped, confined=confined)
    assert heir.wait() == 0, f"output of the next process after {walk}: {heir.output_text}"

    LocalStore(home.settings.media_dir).sweep(older_than_s=0, now=2**40)
    with home.open() as pipeline:
        states = [video.state for video in plan(plan_input(pipeline)).videos]
        assert states == [VideoState.COMPLETE] * VIDEOS, walk
        totals = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
    assert totals.states.pop("stored") == VIDEOS * STEPS, walk
    assert totals.states.keys() <= {"released"}, walk
    assert totals.charges == VIDEOS * STEPS, walk
    assert totals.films >= VIDEOS * STEPS, walk
    assert list(home.settings.media_dir.glob(".incoming/*")) == []
    assert not list(home.path.rglob("*.wal")), walk
    return totals.charges


def walk_all(chosen: Sequence[Walk], make_home: Callable[[Walk], EngineHome]) -> None:
    """Do the walks two at a time, and count them."""
    with ThreadPoolExecutor(2) as pool:
        charges = list(pool.map(lambda walk: killed_and_recovered(make_home(walk), walk), chosen))
    assert len(charges) == len(chosen)
    assert sum(charges) == len(chosen) * VIDEOS * STEPS


def test_a_process_killed_around_a_fetch_while_a_confined_one_reads_leaves_no_half_file(
    make_home: Callable[..., EngineHome],
) -> None:
    # all other points are walked by the slice of the matrix, whose processes read films themselves
    chosen = walks("collect")
    assert len(chosen) == 7
    walk_all(chosen, lambda walk: make_home(walk.armed))


def test_a_kill_around_a_submit_is_survived_on_postgresql_too(
    make_home: Callable[..., EngineHome], postgres: PostgresServer, tmp_path: Path
) -> None:
    def home_of(walk: Walk) -> EngineHome:
        return make_home(walk.armed, ledger_url=postgres.new_ledger(f"walk_{next(_databases)}"))

    chosen = [walk for walk in walks("submit") if walk.hit == 1]
    assert len(chosen) == 8
    walk_all(chosen, home_of)


def test_a_chain_of_processes_each_killed_elsewhere_pays_once_for_everything(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    settings = settings_of(home)
    know_a_task(home)
    entries = [entry("v000", source_id(0), steps=1)]
    deaths = 0
    for number, point in enumerate(ADVANCED, start=1):  # each process has new work besides what was left to it
        home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0}])
        entries.append(entry(f"v{number:03}", source_id(number), steps=1))
        home.catalogue(entries)
        if point.startswith("recover"):
            home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
        skipped = PAST_A_LEASE_MS * number
        child = advancing(
            settings, home.path / f"{number}.txt", points=f"{point}=kill", skipped_ms=skipped, confined=False
        )
        deaths += child.wait() == -signal.SIGKILL
    last = advancing(settings, home.path / "last.txt", skipped_ms=PAST_A_LEASE_MS * (len(ADVANCED) + 2))
    assert last.wait() == 0, last.output_text
    assert deaths == len(ADVANCED) >= 25
    ledger = open_ledger(home.ledger_url)
    try:
        totals = reckon(home, ledger)
        assert totals.charges == totals.states["stored"] == len(ADVANCED) + 1
        assert replays_to_the_same(ledger, home.path) > 200
    finally:
        ledger.close()


@pytest.mark.parametrize("point", ["submit.after_post", "poll.after_query"])
def test_the_command_itself_is_killed_and_called_again(point: str, home: EngineHome) -> None:
    home.seeded(VIDEOS, steps=1)
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(home.path), "advance", "--until-idle"]
    command += ["--max-seconds", "25"]
    settled = {f"EXTEND_PIPELINE_{name.upper()}": str(value) for name, value in home.options.items()}
    environment = {**os.environ, **settled}
    killed = subprocess.run(
        command, env={**environment, ENVIRONMENT: f"{point}=kill"}, capture_output=True, text=True, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    ledger = open_ledger(home.ledger_url)
    try:
        totals = reckon(home, ledger)
    finally:
        ledger.close()
    assert totals.charges == totals.states["stored"] == VIDEOS
