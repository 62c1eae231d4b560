"""Rules of the environment: time passes, the upstream is faulty, callbacks come, and other customers use the
accounts."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from extend_pipeline_tests.machine.rules.base import CALLBACKS, JUMPS, NUMBERS, PROCESSES, CallbackDraw, MachineBase
from extend_pipeline_tests.machine.world import callbacks, faults
from extend_pipeline_tests.machine.world.world import ACCOUNTS, source_name


class EnvironmentRules(MachineBase):
    """Time, faults, callbacks, other customers."""

    @rule(seconds=st.sampled_from(JUMPS))
    def later(self, seconds: float) -> None:
        self.count("jump of the clock")
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
        order = faults.order(kind, where, account=account, times=times, skip=skip, after=after)
        self.world.home.sandbox.faults([order])

    @rule(
        number=PROCESSES,
        provider=st.sampled_from(ACCOUNTS),
        kind=st.sampled_from((*faults.SILENCES, *faults.SILENCES, *faults.kinds_at("submit"))),
        after=st.booleans(),
        callbacks=CALLBACKS,
    )
    def submit_into_a_fault(
        self, number: int, provider: str, kind: str, after: bool, callbacks: list[CallbackDraw]
    ) -> None:
        """A new video whose submit goes wrong, and what callbacks say of it then."""
        self.one_more(provider)
        after = after or kind in faults.SILENCES
        order = faults.order(kind, "submit", account=provider, times=1, skip=0, after=after)
        self.world.home.sandbox.faults([order])
        self.work(number, "advance")
        self.receive(number, callbacks)
        self.work(number, "advance")

    @rule()
    def end_faults(self) -> None:
        self.clear_faults()

    @rule(number=PROCESSES, requests=CALLBACKS)
    def receive(self, number: int, requests: list[CallbackDraw]) -> None:
        """Callbacks in any order: early, late, twice, backwards, forged."""
        process = self.free(number)
        if process is not None:
            for kind, which, status, times in requests:
                callbacks.call_back(self.world, process.pipeline, kind, which, status, times=times)

    @rule(
        provider=st.sampled_from(ACCOUNTS),
        age=st.sampled_from((0.0, 7_000.0, 200_000.0)),
        own=NUMBERS,
        chance=st.integers(0, 2),
    )
    def foreign_task(self, provider: str, age: float, own: int, chance: int) -> None:
        """Another customer uses the account, now and then for one of our own videos."""
        if chance:
            return
        wishes = [
            wish for wish in self.world.wishes.values() if wish.provider == provider == "kling" and not wish.above
        ]
        of = {"video_id": source_name("kling", wishes[own % len(wishes)].number)} if wishes and own % 2 else {}
        row = self.world.home.sandbox.foreign_task(provider=provider, age=age, prompt="of another customer", **of)
        self.world.foreign.add(row["task_id"])
        self.count("foreign task")
