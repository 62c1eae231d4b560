"""What processes do: they work, crash at a drawn place, stand still, go on, and are killed where they stood."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from extend_pipeline.base.failpoints import POINTS
from extend_pipeline.engine.advance import advance
from extend_pipeline_tests.machine.rules.base import JUMPS, NUMBERS, PROCESSES, WORKS, MachineBase
from extend_pipeline_tests.machine.world.gates import PLACES
from extend_pipeline_tests.machine.world.processes import armed, no_responses_kept
from extend_pipeline_tests.machine.world.world import ACCOUNTS

_SUBMITS: Final = [point for point in POINTS if point.startswith("submit.")]
_POINTS: Final = [point for point in POINTS if not point.startswith("callbacks.")]


class ProcessRules(MachineBase):
    """Work, crashes, and processes that stand still."""

    @rule(number=PROCESSES)
    def round(self, number: int) -> None:
        self.work(number, "advance")

    @rule(number=PROCESSES, seconds=st.sampled_from(JUMPS[:5]))
    def round_later(self, number: int, seconds: float) -> None:
        self.world.jump(seconds)
        self.work(number, "advance")

    @rule(number=PROCESSES, seconds=st.sampled_from(JUMPS[2:5]))
    def rounds(self, number: int, seconds: float) -> None:
        """What a schedule does: round after round."""
        for _ in range(2):
            self.work(number, "advance")
            self.world.jump(seconds)

    @rule(number=PROCESSES, chosen=st.sets(NUMBERS, max_size=3))
    def backfill(self, number: int, chosen: set[int]) -> None:
        keys = sorted(self.world.wishes)
        videos: Collection[str] = {keys[number_of_video % len(keys)] for number_of_video in chosen}
        self.run(number, "backfill", lambda pipeline: advance(pipeline, videos=videos, publish=False))

    @rule(number=PROCESSES, what=st.sampled_from(("submit", "recover", "poll", "collect")))
    def step(self, number: int, what: str) -> None:
        self.work(number, what)

    @rule(number=PROCESSES, chance=st.integers(0, 3), lost=st.booleans())
    def publish(self, number: int, chance: int, lost: bool) -> None:
        if chance:
            return  # it costs as much as ten other steps
        if lost:
            for path in self.world.home.settings.state_dir.glob("warehouse*"):
                path.unlink()
        self.work(number, "publish")

    @rule(
        number=PROCESSES,
        point=st.sampled_from(_POINTS),
        nth=st.sampled_from((1, 1, 2)),
        seconds=st.sampled_from((0, 61, 450)),
        lost=st.booleans(),
        looks_dead=st.booleans(),
    )
    def crash(self, number: int, point: str, nth: int, seconds: float, lost: bool, looks_dead: bool) -> None:
        """A crash at a drawn place. `lost`: an answer that the ledger didn't get can't be kept either."""
        process = self.free(number)
        if process is None:
            return
        self.world.jump(seconds)
        place = point.partition(".")[0]
        what = place if place in ("reconcile", "publish") else "advance"
        without = no_responses_kept(self.world.home.settings.state_dir) if lost else nullcontext()
        with without, armed(point, nth):
            survived = process.run(WORKS[what])
        self.count(f"crash at {point}" if not survived else "no crash: it never got there")
        if not survived:
            self.world.replace(process, looks_dead=looks_dead)

    @rule(
        number=PROCESSES,
        provider=st.sampled_from(ACCOUNTS),
        point=st.sampled_from(_SUBMITS),
        lost=st.booleans(),
        looks_dead=st.booleans(),
    )
    def crash_with_a_new_video(self, number: int, provider: str, point: str, lost: bool, looks_dead: bool) -> None:
        """A crash while something is submitted."""
        self.one_more(provider)
        self.crash(number, point, 1, 61, lost, looks_dead)

    @rule(
        number=PROCESSES,
        provider=st.sampled_from(ACCOUNTS),
        what=st.sampled_from(("advance", "submit")),
        place=st.sampled_from(PLACES),
        nth=st.sampled_from((1, 1, 2, 3)),
    )
    def stop(self, number: int, provider: str, what: str, place: str, nth: int) -> None:
        """A process that stands still between its clock and a transaction, or between its mark and its POST."""
        self.one_more(provider)
        process = self.free(number)
        if process is None or len(self.world.stopped()) >= 2:
            return
        stopped = process.run_until(WORKS[what], place, nth)
        self.count(f"stopped before a {place}" if stopped else "no stop: it never got there")

    @rule(number=NUMBERS, dead=st.sampled_from((False, False, True)), lost=st.booleans())
    def go_on(self, number: int, dead: bool, lost: bool) -> None:
        """What stood still goes on, or is killed where it stood."""
        stopped = self.world.stopped()
        if not stopped:
            return
        process = stopped[number % len(stopped)]
        with no_responses_kept(self.world.home.settings.state_dir) if dead and lost else nullcontext():
            process.wake(dead=dead)
        self.count("killed where it stood" if dead else "went on")
        if dead:
            self.world.replace(process)
