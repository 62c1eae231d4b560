"""What all rules of the machine share: the world they act on, the works of a process, and what happened, counted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import ClassVar, Final

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.doubt.recover import recover
from extend_pipeline.engine.fetch.collect import collect_due
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.poll import poll_due
from extend_pipeline.engine.publish import publish_if_changed
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline_tests.machine.checks import Watch
from extend_pipeline_tests.machine.world import callbacks, operator
from extend_pipeline_tests.machine.world.processes import Process, Work
from extend_pipeline_tests.machine.world.statements import reconcile_kling
from extend_pipeline_tests.machine.world.world import World, WorldFactory, days

JUMPS: Final = (1, 16, 61, 200, 610, 3_700, 7 * 3_600, days(1), days(3), days(31))
MAX_VIDEOS: Final = 14
PROCESSES: Final = st.integers(0, 2)
NUMBERS: Final = st.integers(0, 50)
DECISIONS: Final = st.sampled_from((*operator.DECISIONS, "adopt wrong"))
CallbackDraw = tuple[str, int, str, int]
"""A callback: of which kind, to which address (0 is the youngest), what it says of the task, how often."""

CALLBACKS: Final = st.lists(
    st.tuples(
        st.sampled_from(callbacks.KINDS),
        st.sampled_from((0, 0, 0, 1, 2, 5, 9)),
        st.sampled_from(callbacks.STATUSES),
        st.integers(1, 2),
    ),
    max_size=4,
)


def _submit(pipeline: Pipeline) -> None:
    pipeline.refresh()
    declare_catalogue(pipeline)
    submit_due(pipeline, plan(plan_input(pipeline)))


WORKS: Final[Mapping[str, Work]] = {
    "advance": lambda pipeline: advance(pipeline, publish=False),
    "submit": _submit,
    "recover": recover,
    "poll": poll_due,
    "collect": collect_due,
    "reconcile": reconcile_kling,
    "publish": publish_if_changed,
}


class MachineBase(RuleBasedStateMachine):
    """A world, what is watched in it, and how to act on it. Subclasses name the factory that worlds are built on."""

    factory: ClassVar[WorldFactory]

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.world: World = self.factory.build(self.stack)
        self.watch = Watch(self.world)

    def free(self, number: int) -> Process | None:
        """A process; None where it stands still."""
        process = self.world.process(number)
        return None if process.is_stopped else process

    def wish_for(self, provider: str, hops: int) -> None:
        """Put one more video into the catalogue."""
        self.count("add a video")
        self.world.add(provider, hops)
        self.world.write_catalogue()

    def one_more(self, provider: str) -> None:
        """See to it that there is something to submit."""
        if len(self.world.wishes) < MAX_VIDEOS:
            self.wish_for(provider, 1)

    def work(self, number: int, what: str) -> None:
        """Let a process do one of WORKS, unless it stands still."""
        self.run(number, what, WORKS[what])

    def run(self, number: int, what: str, work: Work) -> None:
        """Let a process do that work, unless it stands still."""
        process = self.free(number)
        if process is not None:
            self.count(f"work: {what}")
            assert process.run(work), "it crashed though nothing was armed"

    def count(self, what: str) -> None:
        """Take down that it happened, for Hypothesis and for the floors."""
        event(what)
        self.world.counters.add(what)

    def clear_faults(self) -> None:
        """End every fault; those that have struck are counted."""
        for fault in self.world.home.sandbox.faults():
            if fault["fired"]:
                self.world.counters.add(f"fault {fault['kind']} at {fault['where']}", fault["fired"])
        self.world.home.sandbox.clear_faults()
