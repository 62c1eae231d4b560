"""The machine itself: what may happen, in any order."""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import ExitStack, nullcontext
from typing import ClassVar, Final

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from extend_pipeline.base.failpoints import POINTS
from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.collect import collect_due
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.engine.plan import plan
from extend_pipeline.engine.poll import poll_due
from extend_pipeline.engine.publish import publish_if_changed
from extend_pipeline.engine.recover import recover
from extend_pipeline.engine.snapshot import plan_input
from extend_pipeline.engine.submit import submit_due
from extend_pipeline.ledger import tables
from extend_pipeline_tests.machine import calls, ending, faults, person
from extend_pipeline_tests.machine.bills import compare_invoice, compare_kling
from extend_pipeline_tests.machine.checks import Watch
from extend_pipeline_tests.machine.gates import PLACES
from extend_pipeline_tests.machine.processes import Process, Work, armed, no_answers_kept
from extend_pipeline_tests.machine.world import ACCOUNTS, Stage, World, days, keys_of, source_name

JUMPS: Final = (1, 16, 61, 200, 610, 3_700, 7 * 3_600, days(1), days(3), days(31))
MOST_VIDEOS: Final = 14
_PROCESSES: Final = st.integers(0, 2)
_TIMES: Final = st.integers(1, 2)
_NUMBERS: Final = st.integers(0, 50)
_Told = tuple[str, int, str, int]
_TOLD: Final = st.lists(
    st.tuples(
        st.sampled_from(calls.KINDS), st.sampled_from((0, 0, 0, 1, 2, 5, 9)), st.sampled_from(calls.WORDS), _TIMES
    ),
    max_size=4,
)
"""Callbacks: of which kind, to which address (0 is the youngest), what they say of the task, how often."""

_DECISIONS: Final = st.sampled_from((*person.DECISIONS, "adopt wrong"))
_SUBMITS: Final = [point for point in POINTS if point.startswith("submit.")]
_POINTS: Final = [point for point in POINTS if not point.startswith("callbacks.")]


def _submit(pipeline: Pipeline) -> None:
    pipeline.refresh()
    declare_catalogue(pipeline)
    submit_due(pipeline, plan(plan_input(pipeline)))


WORKS: Final[dict[str, Work]] = {
    "advance": lambda pipeline: advance(pipeline, publish=False),
    "submit": _submit,
    "recover": recover,
    "poll": poll_due,
    "collect": collect_due,
    "reconcile": compare_kling,
    "publish": publish_if_changed,
}


class Machine(RuleBasedStateMachine):
    """Everything that may happen to a home. Subclasses name the stage that worlds are built on."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world: World = self.stage.build(self.stack)
        self.watch = Watch(self.world)

    # --- what a person wishes for ---

    @initialize(providers=st.lists(st.sampled_from(ACCOUNTS), min_size=2, max_size=4), hops=st.integers(1, 2))
    def open(self, providers: list[str], hops: int) -> None:
        for provider in providers:
            self.world.add(provider, hops)
        self.world.write_catalogue()

    @rule(provider=st.sampled_from(ACCOUNTS), hops=st.integers(1, 2))
    @precondition(lambda self: len(self.world.wishes) < MOST_VIDEOS)
    def add_video(self, provider: str, hops: int) -> None:
        self._count("add a video")
        self.world.add(provider, hops)
        self.world.write_catalogue()

    @rule(number=_NUMBERS, what=st.sampled_from(("take", "target", "withdraw", "restore", "branch")), hop=_NUMBERS)
    def change(self, number: int, what: str, hop: int) -> None:
        keys = keys_of(self.world.wishes, present=what != "restore")
        if not keys:
            return
        wish = self.world.wishes[keys[number % len(keys)]]
        above = [each for each in self.world.wishes.values() if each.above == wish.key]
        match what:
            case "take":
                hop %= len(wish.takes)
                wish.takes[hop] = "b" if wish.takes[hop] == "a" else "a"
            case "target" if not above:
                wish.takes[:] = [*wish.takes, "a"] if len(wish.takes) < 3 else wish.takes[:1]
            case "withdraw" if not above and len(keys) > 1:
                wish.withdrawn = True
            case "restore" if wish.above is None or not self.world.wishes[wish.above].withdrawn:
                wish.withdrawn = False
            case "branch" if len(self.world.wishes) < MOST_VIDEOS:
                self.world.add_branch(wish.key, hop % len(wish.takes) + 1, 1)
            case _:
                return
        self._count(f"change: {what}")
        self.world.write_catalogue()

    # --- work ---

    @rule(number=_PROCESSES)
    def round(self, number: int) -> None:
        self._work(number, "advance")

    @rule(number=_PROCESSES, seconds=st.sampled_from(JUMPS[:5]))
    def round_later(self, number: int, seconds: float) -> None:
        self.world.jump(seconds)
        self._work(number, "advance")

    @rule(number=_PROCESSES, seconds=st.sampled_from(JUMPS[2:5]))
    def rounds(self, number: int, seconds: float) -> None:
        """What a schedule does: round after round."""
        for _ in range(2):
            self._work(number, "advance")
            self.world.jump(seconds)

    @rule(number=_PROCESSES, chosen=st.sets(_NUMBERS, max_size=3))
    def backfill(self, number: int, chosen: set[int]) -> None:
        keys = sorted(self.world.wishes)
        videos: Collection[str] = {keys[each % len(keys)] for each in chosen}
        self._run(number, "backfill", lambda pipeline: advance(pipeline, videos=videos, publish=False))

    @rule(number=_PROCESSES, what=st.sampled_from(("submit", "recover", "poll", "collect")))
    def step(self, number: int, what: str) -> None:
        self._work(number, what)

    # --- crashes, and processes that stand still ---

    @rule(
        number=_PROCESSES,
        point=st.sampled_from(_POINTS),
        nth=st.sampled_from((1, 1, 2)),
        seconds=st.sampled_from((0, 61, 450)),
        lost=st.booleans(),
        looks_dead=st.booleans(),
    )
    def crash(self, number: int, point: str, nth: int, seconds: float, lost: bool, looks_dead: bool) -> None:
        """A crash at a drawn place. `lost`: an answer that the ledger didn't get can't be kept either."""
        process = self._free(number)
        if process is None:
            return
        self.world.jump(seconds)
        place = point.partition(".")[0]
        what = place if place in ("reconcile", "publish") else "advance"
        without = no_answers_kept(self.world.home.settings.state_dir) if lost else nullcontext()
        with without, armed(point, nth):
            survived = process.run(WORKS[what])
        self._count(f"crash at {point}" if not survived else "no crash: it never got there")
        if not survived:
            self.world.replace(process, looks_dead=looks_dead)

    @rule(
        number=_PROCESSES,
        provider=st.sampled_from(ACCOUNTS),
        point=st.sampled_from(_SUBMITS),
        lost=st.booleans(),
        looks_dead=st.booleans(),
    )
    def crash_with_a_new_video(self, number: int, provider: str, point: str, lost: bool, looks_dead: bool) -> None:
        """A crash while something is submitted."""
        self._one_more(provider)
        self.crash(number, point, 1, 61, lost, looks_dead)

    @rule(
        number=_PROCESSES,
        provider=st.sampled_from(ACCOUNTS),
        what=st.sampled_from(("advance", "submit")),
        place=st.sampled_from(PLACES),
        nth=st.sampled_from((1, 1, 2, 3)),
    )
    def stop(self, number: int, provider: str, what: str, place: str, nth: int) -> None:
        """A process that stands still between its clock and a transaction, or between its mark and its POST."""
        self._one_more(provider)
        process = self._free(number)
        if process is None or len(self.world.stopped()) >= 2:
            return
        stopped = process.run_until(WORKS[what], place, nth)
        self._count(f"stopped before a {place}" if stopped else "no stop: it never got there")

    @rule(number=_NUMBERS, dead=st.sampled_from((False, False, True)), lost=st.booleans())
    def go_on(self, number: int, dead: bool, lost: bool) -> None:
        """What stood still goes on, or is killed where it stood."""
        stopped = self.world.stopped()
        if not stopped:
            return
        process = stopped[number % len(stopped)]
        with no_answers_kept(self.world.home.settings.state_dir) if dead and lost else nullcontext():
            process.wake(dead=dead)
        self._count("killed where it stood" if dead else "went on")
        if dead:
            self.world.replace(process)

    # --- the world outside ---

    @rule(seconds=st.sampled_from(JUMPS))
    def later(self, seconds: float) -> None:
        self._count("jump of the clock")
        self.world.jump(seconds)

    @rule(
        what=st.sampled_from(faults.PLACES).flatmap(
            lambda where: st.tuples(st.sampled_from(faults.kinds_at(where)), st.just(where))
        ),
        account=st.sampled_from((None, None, *ACCOUNTS)),
        times=st.integers(1, 3),
        skip=st.sampled_from((0, 0, 1)),
        after=st.booleans(),
    )
    def fault(self, what: tuple[str, str], account: str | None, times: int, skip: int, after: bool) -> None:
        kind, where = what
        given = faults.order(kind, where, account=account, times=times, skip=skip, after=after)
        self.world.home.sandbox.faults([given])

    @rule(
        number=_PROCESSES,
        provider=st.sampled_from(ACCOUNTS),
        kind=st.sampled_from((*faults.SILENCES, *faults.SILENCES, *faults.kinds_at("submit"))),
        after=st.booleans(),
        told=_TOLD,
    )
    def submit_into_a_fault(self, number: int, provider: str, kind: str, after: bool, told: list[_Told]) -> None:
        """A new video whose submit goes wrong, and what callbacks say of it then."""
        self._one_more(provider)
        after = after or kind in faults.SILENCES
        given = faults.order(kind, "submit", account=provider, times=1, skip=0, after=after)
        self.world.home.sandbox.faults([given])
        self._work(number, "advance")
        self.callbacks(number, told)
        self._work(number, "advance")

    @rule(
        number=_PROCESSES,
        provider=st.sampled_from(ACCOUNTS[1:]),
        kind=st.sampled_from(faults.SILENCES),
        told=_TOLD,
        seconds=st.sampled_from((0, 3, 61)),
        decision=_DECISIONS,
        task=_NUMBERS,
    )
    def doubt(
        self, number: int, provider: str, kind: str, told: list[_Told], seconds: float, decision: str, task: int
    ) -> None:
        """A submit that nobody can look up, forged and true callbacks about it, and a person who doesn't wait long."""
        self.submit_into_a_fault(number, provider, kind, True, told)
        self.world.jump(seconds)
        self._work(number, "recover")
        self.decide(number, 0, decision, task)

    @rule()
    def fair_weather(self) -> None:
        self._clear_faults()

    @rule(number=_PROCESSES, given=_TOLD)
    def callbacks(self, number: int, given: list[_Told]) -> None:
        """Callbacks in any order: early, late, twice, backwards, forged."""
        process = self._free(number)
        if process is not None:
            for kind, which, word, times in given:
                calls.call_back(self.world, process.pipeline, kind, which, word, times=times)

    @rule(
        provider=st.sampled_from(ACCOUNTS),
        age=st.sampled_from((0.0, 7_000.0, 200_000.0)),
        own=_NUMBERS,
        chance=st.integers(0, 2),
    )
    def foreign_task(self, provider: str, age: float, own: int, chance: int) -> None:
        """Somebody else uses the account, now and then for one of our own videos."""
        if chance:
            return
        mine = [wish for wish in self.world.wishes.values() if wish.provider == provider == "kling" and not wish.above]
        of = {"video_id": source_name("kling", mine[own % len(mine)].number)} if mine and own % 2 else {}
        row = self.world.home.sandbox.foreign_task(provider=provider, age=age, prompt="of somebody else", **of)
        self.world.foreign.add(row["task_id"])
        self._count("foreign task")

    # --- a person ---

    @rule(
        number=_PROCESSES, which=_NUMBERS, decision=st.sampled_from((*person.DECISIONS, "adopt wrong")), task=_NUMBERS
    )
    def decide(self, number: int, which: int, decision: str, task: int) -> None:
        process, rows = self._free(number), person.newest(person.decidable(self.world))
        doubts = [row for row in rows if row.state == "in_doubt"]
        if doubts or decision.startswith("adopt"):
            rows = doubts
        if process is not None and rows:
            person.decide(self.world, process.pipeline, rows[which % len(rows)], decision, task)

    @rule(
        number=_PROCESSES,
        what=st.sampled_from(("pause", "resume", "resume", "budget", "accept")),
        name=st.sampled_from((*ACCOUNTS, tables.EVERYWHERE)),
        which=_NUMBERS,
    )
    def say(self, number: int, what: str, name: str, which: int) -> None:
        process = self._free(number)
        if process is None:
            return
        match what:
            case "pause":
                person.pause(self.world, process.pipeline, name)
            case "resume":
                person.resume(self.world, process.pipeline, name)
            case "budget":
                person.raise_budget(self.world, ACCOUNTS[which % len(ACCOUNTS)])
            case _:
                person.accept(self.world, process.pipeline, which)

    @rule(number=_PROCESSES, name=st.sampled_from(ACCOUNTS))
    def reconcile(self, number: int, name: str) -> None:
        if name == "kling":
            self._work(number, "reconcile")
        else:
            self._run(number, "invoice", lambda pipeline: compare_invoice(self.world, pipeline, name))

    @rule(number=_PROCESSES, chance=st.integers(0, 3), lost=st.booleans())
    def publish(self, number: int, chance: int, lost: bool) -> None:
        if chance:
            return  # it costs as much as ten other steps
        if lost:
            for path in self.world.home.settings.state_dir.glob("warehouse*"):
                path.unlink()
        self._work(number, "publish")

    # --- what must hold ---

    @invariant()
    def everything_holds(self) -> None:
        self.world.tally.add("steps")
        self._look()

    def teardown(self) -> None:
        """The end of an example: everything comes to rest, and all books agree."""
        try:
            if sys.exc_info()[0] is None:
                self._clear_faults()
                ending.come_to_rest(self.world)
                self._look()
                ending.all_books_agree(self.world)
                self._sum_up()
        finally:
            self.stack.close()

    # --- helpers ---

    def _look(self) -> None:
        found = self.watch.look()
        assert not found, "\n".join(found)

    def _free(self, number: int) -> Process | None:
        process = self.world.process(number)
        return None if process.is_stopped else process

    def _one_more(self, provider: str) -> None:
        """See to it that there is something to submit."""
        if len(self.world.wishes) < MOST_VIDEOS:
            self.add_video(provider, 1)

    def _work(self, number: int, what: str) -> None:
        self._run(number, what, WORKS[what])

    def _run(self, number: int, what: str, work: Work) -> None:
        process = self._free(number)
        if process is not None:
            self._count(f"work: {what}")
            assert process.run(work), "it crashed though nothing was armed"

    def _count(self, what: str) -> None:
        event(what)
        self.world.tally.add(what)

    def _clear_faults(self) -> None:
        for each in self.world.home.sandbox.faults():
            if each["fired"]:
                self.world.tally.add(f"fault {each['kind']} at {each['where']}", each["fired"])
        self.world.home.sandbox.clear_faults()

    def _sum_up(self) -> None:
        self.world.tally.add("examples")
        self.world.tally.add("charges", len(self.world.home.sandbox.charges()["charges"]))
