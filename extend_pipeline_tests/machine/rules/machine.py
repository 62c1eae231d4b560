"""The machine itself: what processes, the world outside and the operator may do, in any order, and what must hold
then."""

from __future__ import annotations

import sys

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from extend_pipeline_tests.machine import ending
from extend_pipeline_tests.machine.rules.base import CALLBACKS, DECISIONS, NUMBERS, PROCESSES, CallbackDraw
from extend_pipeline_tests.machine.rules.environment import EnvironmentRules
from extend_pipeline_tests.machine.rules.operator import OperatorRules
from extend_pipeline_tests.machine.rules.processes import ProcessRules
from extend_pipeline_tests.machine.world import faults
from extend_pipeline_tests.machine.world.world import ACCOUNTS


class Machine(ProcessRules, EnvironmentRules, OperatorRules):
    """Everything that may happen to a home. Subclasses name the factory that worlds are built on."""

    @initialize(providers=st.lists(st.sampled_from(ACCOUNTS), min_size=2, max_size=4), hops=st.integers(1, 2))
    def open(self, providers: list[str], hops: int) -> None:
        for provider in providers:
            self.world.add(provider, hops)
        self.world.write_catalogue()

    @rule(
        number=PROCESSES,
        provider=st.sampled_from(ACCOUNTS[1:]),
        kind=st.sampled_from(faults.SILENCES),
        callbacks=CALLBACKS,
        seconds=st.sampled_from((0, 3, 61)),
        decision=DECISIONS,
        task=NUMBERS,
    )
    def doubt(
        self,
        number: int,
        provider: str,
        kind: str,
        callbacks: list[CallbackDraw],
        seconds: float,
        decision: str,
        task: int,
    ) -> None:
        """A submit that can't be looked up, forged and true callbacks about it, and an operator who decides early."""
        self.submit_into_a_fault(number, provider, kind, True, callbacks)
        self.world.jump(seconds)
        self.work(number, "recover")
        self.decide(number, 0, decision, task)

    @invariant()
    def everything_holds(self) -> None:
        self.world.counters.add("steps")
        self._look()

    def teardown(self) -> None:
        """The end of an example: everything comes to rest, and all amounts agree."""
        try:
            if sys.exc_info()[0] is None:
                self.clear_faults()
                ending.come_to_rest(self.world)
                self._look()
                ending.all_charges_agree(self.world)
                self._sum_up()
        finally:
            self.stack.close()

    def _look(self) -> None:
        findings = self.watch.look()
        assert not findings, "\n".join(findings)

    def _sum_up(self) -> None:
        self.world.counters.add("examples")
        self.world.counters.add("charges", len(self.world.home.sandbox.charges()["charges"]))
