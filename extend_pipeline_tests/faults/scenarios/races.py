"""Specials with two processes at a time: both plan within a budget for one step; one is held for longer than its lease
while others go on."""

from __future__ import annotations

import signal
from typing import Any, Final

from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.faults.homes.factory import HomeFactory
from extend_pipeline_tests.faults.homes.scenario_home import PAST_A_LEASE_MS, ScenarioHome
from extend_pipeline_tests.faults.processes.fork_server import ForkedProcess
from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult, check
from extend_pipeline_tests.faults.scenarios.run import recover, run
from extend_pipeline_tests.support.harness.charges import attempts_in
from extend_pipeline_tests.support.home.engine_home import eventually

ONE_STEP: Final = {"kling": 2, "kling-gateway": 1, "luma": 1, "vidu": 0.5}
"""What one step costs in each provider's own unit; for Vidu 4 s of viduq2-turbo in 540p (10 + 3 × 2 credits)."""

HELD_AT: Final = ("submit.before_sending", "submit.after_sending", "submit.after_post")


def budget_race(provider: str, factory: HomeFactory, result: ScenarioResult) -> None:
    """Two processes have each planned another video within a budget for one step, before either claims."""
    budget = {"per_day": ONE_STEP[provider], "total": ONE_STEP[provider]}
    home = factory.home(provider, (1, 1), budget=budget)
    # each has its own clock: a jump of one would end the other's lease
    racers = [
        hold(home, result, f"racer-{key}", "submit.before_claim", videos=(key,), behind=True) for key in home.keys
    ]
    go_on(result, *racers)
    check(home, result, "after the race")
    with home.ledger() as ledger:
        claimed = sum(row.state not in (AttemptState.REJECTED, AttemptState.RELEASED) for row in attempts_in(ledger))
    if claimed != 1 or len(home.book().charges) != 1:
        finding = f"{claimed} claims and {len(home.book().charges)} charges within a budget for one"
        result.findings.append(finding)
    home.options = {}
    home.write_accounts()
    recover(home, result)
    home.tear_down()


def lease(provider: str, point: str, behind: bool, factory: HomeFactory, result: ScenarioResult) -> None:
    """A process is stopped for longer than its lease; others do what they may; then it goes on where it was. One whose
    clock is behind doesn't even see that time has passed."""
    home = factory.home(provider, (1, 1))
    run(home, result, "before", videos=("v1",))  # a task that is known to exist: absence then proves something
    held = hold(home, result, "held", point, videos=("v0",), behind=behind)
    run(home, result, "others", submit=False, skipped_ms=PAST_A_LEASE_MS)
    check(home, result, "after the lease")
    run(home, result, "heir")
    check(home, result, "after others went on")
    go_on(result, held)
    recover(home, result)
    home.tear_down()


def hold(home: ScenarioHome, result: ScenarioResult, name: str, point: str, **changes: Any) -> ForkedProcess:
    """Start a process that stops itself at a failpoint, and wait until it has."""
    held = home.start(name, points=f"{point}=pause", in_lanes=False, **changes)
    eventually(lambda: held.is_stopped)
    result.kills += 1
    return held


def go_on(result: ScenarioResult, *held: ForkedProcess) -> None:
    """Let stopped processes run to their end."""
    for process in held:
        process.go_on()
    for process in held:
        if (code := process.wait()) not in (0, -signal.SIGKILL):
            result.findings.append(f"a process that went on ended with {code}; it said: {process.output_text[-2000:]}")
