"""`kill -9` at every failpoint of submit, poll and collect, with providers that know no key of ours: what can't be
known stays in doubt for the operator, all else is finished by the next process, and nothing is paid twice."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import pytest

from extend_pipeline.base.failpoints import POINTS
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.processes.children import advancing
from extend_pipeline_tests.support.user_texts import check_user_text

VIDEOS: Final = 2
PAST_A_LEASE_MS: Final = 8_000
FETCHES: Final = ("collect.mid_download", "collect.after_rename")
"""Hit while sources are fetched too, which comes before anything is paid where a provider reports nothing of them."""

UNKNOWABLE: Final = ("submit.after_sending", "submit.after_post", "submit.before_outcome")
PERHAPS: Final = "submit.after_outcome"  # the other video's POST may be under way when the first one's is written down


@dataclass(frozen=True)
class Walk:
    """A failpoint, and the number of the hit of it that kills."""

    provider: str
    point: str
    hit: int = 1

    @property
    def armed(self) -> str:
        """Return the value of the environment variable that arms it."""
        return f"{self.point}=kill@{self.hit}"


@dataclass(frozen=True)
class WalkResult:
    """The counts at the end of a walk."""

    charges: int
    stored: int
    in_doubt: int


def walks(provider: str) -> list[Walk]:
    """Return a walk for every failpoint of submit and of fetches. The matrix (`faults/`) walks all the others."""
    chosen = [Walk(provider, point) for point in POINTS if point.startswith("submit.")]
    if provider != "kling-gateway":
        chosen += [Walk(provider, point, VIDEOS + 1) for point in FETCHES]
    return chosen


def killed_and_finished(home: EngineHome, walk: Walk) -> WalkResult:
    """Kill one process, let another go on, and check everything."""
    other_home(home, walk.provider, VIDEOS)
    settings = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    confined = walk.point in FETCHES
    victim = advancing(settings, home.path / "victim.txt", points=walk.armed, confined=confined)
    assert victim.wait() == -signal.SIGKILL, f"{walk} was not reached; its output: {victim.output_text}"
    before = home.sandbox.charges()["charges"]
    skipped = PAST_A_LEASE_MS if confined else 0
    heir = advancing(settings, home.path / "heir.txt", skipped_ms=skipped, confined=confined)
    ended = heir.wait()
    LocalStore(home.settings.media_dir).sweep(older_than_s=0, now=2**40)
    clock = JumpClock(skipped)
    with home.open(clock) as pipeline:
        totals = reckon(home, pipeline.ledger)
        replays_to_the_same(pipeline.ledger, home.path)
        doubts = totals.states.get("in_doubt", 0)
        assert ended == (1 if doubts else 0), f"output of the next process after {walk}: {heir.output_text}"
        assert totals.states.keys() <= {"stored", "in_doubt", "released"}, walk
        for video in plan(plan_input(pipeline)).videos:
            if video.state is VideoState.COMPLETE:
                continue
            assert video.blocker is not None, walk
            assert video.blocker.reason is BlockReason.IN_DOUBT, (walk, video.blocker)
            check_user_text(video.blocker.todo, without={f"{video.key}/1": "WHERE"})
        if doubts:  # no time and no look-up settles it
            clock.skip(2 * DAY_MS)
            advance(pipeline, publish=False)
            assert reckon(home, pipeline.ledger) == totals, walk
            assert len(status(pipeline).doubts) == doubts
    assert {charge["task_id"] for charge in before} <= {c["task_id"] for c in home.sandbox.charges()["charges"]}
    return WalkResult(totals.charges, totals.states.get("stored", 0), doubts)


@pytest.mark.parametrize("provider", OTHERS)
def test_a_killed_process_leaves_a_doubt_only_where_nothing_can_be_known(
    provider: str, make_home: Callable[..., EngineHome]
) -> None:
    chosen = walks(provider)
    with ThreadPoolExecutor(2) as pool:
        homes = [make_home(f"{walk.point}-{walk.hit}") for walk in chosen]
        ends = list(pool.map(killed_and_finished, homes, chosen))
    assert len(ends) == len(chosen) >= 8
    for walk, end in zip(chosen, ends, strict=True):
        assert end.stored + end.in_doubt == VIDEOS, (walk, end)
        assert end.stored <= end.charges <= VIDEOS, (walk, end)
        least, most = (1, VIDEOS) if walk.point in UNKNOWABLE else (0, VIDEOS - 1) if walk.point == PERHAPS else (0, 0)
        assert least <= end.in_doubt <= most, (walk, end)
    assert sum(end.charges for end in ends) >= len(chosen) * VIDEOS - len(UNKNOWABLE) * VIDEOS
    assert sum(end.in_doubt for end in ends) >= len(UNKNOWABLE)
