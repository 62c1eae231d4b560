"""The machine itself: what processes, the world outside and a person may do, in any order, and what must hold then."""

from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from extend_pipeline_tests.machine import ending, faults
from extend_pipeline_tests.machine.acting import DECISIONS, NUMBERS, PROCESSES, TOLD, Told
from extend_pipeline_tests.machine.rules_of_a_person import RulesOfAPerson
from extend_pipeline_tests.machine.rules_of_processes import RulesOfProcesses
from extend_pipeline_tests.machine.rules_of_the_world import RulesOfTheWorld
from extend_pipeline_tests.machine.world import ACCOUNTS


class Machine(RulesOfProcesses, RulesOfTheWorld, RulesOfAPerson):
    """Everything that may happen to a home. Subclasses name the stage that worlds are built on."""

    @initialize(providers=st.lists(st.sampled_from(ACCOUNTS), min_size=2, max_size=4), hops=st.integers(1, 2))
    def open(self, providers: list[str], hops: int) -> None:
        for provider in providers:
            self.world.add(provider, hops)
        self.world.write_catalogue()

    @rule(
        number=PROCESSES,
        provider=st.sampled_from(ACCOUNTS[1:]),
        kind=st.sampled_from(faults.SILENCES),
        told=TOLD,
        seconds=st.sampled_from((0, 3, 61)),
        decision=DECISIONS,
        task=NUMBERS,
    )
    def doubt(
        self, number: int, provider: str, kind: str, told: list[Told], seconds: float, decision: str, task: int
    ) -> None:
        """A submit that nobody can look up, forged and true callbacks about it, and a person who doesn't wait long."""
        self.submit_into_a_fault(number, provider, kind, True, told)
        self.world.jump(seconds)
        self.work(number, "recover")
        self.decide(number, 0, decision, task)

    @invariant()
    def everything_holds(self) -> None:
        self.world.counters.add("steps")
        self._look()

    def teardown(self) -> None:
        """The end of an example: everything comes to rest, and all books agree."""
        try:
            if sys.exc_info()[0] is None:
                self.clear_faults()
                ending.come_to_rest(self.world)
                self._look()
                ending.all_books_agree(self.world)
                self._sum_up()
        finally:
            self.stack.close()

    def _look(self) -> None:
        found = self.watch.look()
        assert not found, "\n".join(found)

    def _sum_up(self) -> None:
        self.world.counters.add("examples")
        self.world.counters.add("charges", len(self.world.home.sandbox.charges()["charges"]))
