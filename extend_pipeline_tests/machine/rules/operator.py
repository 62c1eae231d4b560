"""Rules of the operator: add, change and withdraw videos, decide about attempts, pause, raise budgets, and
reconcile."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from extend_pipeline.ledger import tables
from extend_pipeline_tests.machine.rules.base import DECISIONS, MAX_VIDEOS, NUMBERS, PROCESSES, MachineBase
from extend_pipeline_tests.machine.world import operator
from extend_pipeline_tests.machine.world.statements import compare_invoice
from extend_pipeline_tests.machine.world.world import ACCOUNTS, keys_of


class OperatorRules(MachineBase):
    """Catalogue, decisions, accounts."""

    @rule(provider=st.sampled_from(ACCOUNTS), hops=st.integers(1, 2))
    @precondition(lambda self: len(self.world.wishes) < MAX_VIDEOS)
    def add_video(self, provider: str, hops: int) -> None:
        self.wish_for(provider, hops)

    @rule(number=NUMBERS, what=st.sampled_from(("take", "target", "withdraw", "restore", "branch")), hop=NUMBERS)
    def change(self, number: int, what: str, hop: int) -> None:
        keys = keys_of(self.world.wishes, present=what != "restore")
        if not keys:
            return
        wish = self.world.wishes[keys[number % len(keys)]]
        above = [branch for branch in self.world.wishes.values() if branch.above == wish.key]
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
            case "branch" if len(self.world.wishes) < MAX_VIDEOS:
                self.world.add_branch(wish.key, hop % len(wish.takes) + 1, 1)
            case _:
                return
        self.count(f"change: {what}")
        self.world.write_catalogue()

    @rule(number=PROCESSES, which=NUMBERS, decision=DECISIONS, task=NUMBERS)
    def decide(self, number: int, which: int, decision: str, task: int) -> None:
        process, rows = self.free(number), operator.decidable(self.world)
        doubts = [row for row in rows if row.state == "in_doubt"]
        if doubts or decision.startswith("adopt"):
            rows = doubts
        if process is not None and rows:
            operator.decide(self.world, process.pipeline, rows[which % len(rows)], decision, task)

    @rule(
        number=PROCESSES,
        what=st.sampled_from(("pause", "resume", "resume", "budget", "accept")),
        name=st.sampled_from((*ACCOUNTS, tables.ALL_ACCOUNTS)),
        which=NUMBERS,
    )
    def say(self, number: int, what: str, name: str, which: int) -> None:
        process = self.free(number)
        if process is None:
            return
        match what:
            case "pause":
                operator.pause(self.world, process.pipeline, name)
            case "resume":
                operator.resume(self.world, process.pipeline, name)
            case "budget":
                operator.raise_budget(self.world, ACCOUNTS[which % len(ACCOUNTS)])
            case _:
                operator.accept(self.world, process.pipeline, which)

    @rule(number=PROCESSES, name=st.sampled_from(ACCOUNTS))
    def reconcile(self, number: int, name: str) -> None:
        if name == "kling":
            self.work(number, "reconcile")
        else:
            self.run(number, "invoice", lambda pipeline: compare_invoice(self.world, pipeline, name))
