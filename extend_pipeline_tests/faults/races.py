"""Specials with two processes at a time: both plan within a budget for one step; one is held for longer than its lease
while others go on."""

from __future__ import annotations

import signal
from typing import Any, Final

from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.faults.audit import Trial, check
from extend_pipeline_tests.faults.nursery import Forked
from extend_pipeline_tests.faults.scene import PAST_A_LEASE_MS, Scene
from extend_pipeline_tests.faults.stage import Stage
from extend_pipeline_tests.faults.trial import recover, run
from extend_pipeline_tests.support.harness.charges import attempts_in
from extend_pipeline_tests.support.home.engine_home import eventually

ONE_STEP: Final = {"kling": 2, "kling-gateway": 1, "luma": 1, "vidu": 0.5}
"""What one step costs in each provider's own unit; for Vidu 4 s of viduq2-turbo in 540p (10 + 3 × 2 credits)."""

HELD_AT: Final = ("submit.before_sending", "submit.after_sending", "submit.after_post")


def budget_race(provider: str, stage: Stage, trial: Trial) -> None:
    """Two processes have each planned another video within a budget for one step, before either claims."""
    budget = {"per_day": ONE_STEP[provider], "total": ONE_STEP[provider]}
    scene = stage.scene(provider, (1, 1), budget=budget)
    # each has its own clock: a jump of one would end the other's lease
    racers = [
        hold(scene, trial, f"racer-{key}", "submit.before_claim", videos=(key,), behind=True) for key in scene.keys
    ]
    go_on(trial, *racers)
    check(scene, trial, "after the race")
    with scene.ledger() as ledger:
        claimed = sum(row.state not in (AttemptState.REJECTED, AttemptState.RELEASED) for row in attempts_in(ledger))
    if claimed != 1 or len(scene.book().charges) != 1:
        told = f"{claimed} claims and {len(scene.book().charges)} charges within a budget for one"
        trial.findings.append(told)
    scene.options = {}
    scene.write_accounts()
    recover(scene, trial)
    scene.tear_down()


def lease(provider: str, point: str, behind: bool, stage: Stage, trial: Trial) -> None:
    """A process is stopped for longer than its lease; others do what they may; then it goes on where it was. One whose
    clock is behind doesn't even see that time has passed."""
    scene = stage.scene(provider, (1, 1))
    run(scene, trial, "before", videos=("v1",))  # a task that is known to exist: absence then proves something
    held = hold(scene, trial, "held", point, videos=("v0",), behind=behind)
    run(scene, trial, "others", submit=False, skipped_ms=PAST_A_LEASE_MS)
    check(scene, trial, "after the lease")
    run(scene, trial, "heir")
    check(scene, trial, "after others went on")
    go_on(trial, held)
    recover(scene, trial)
    scene.tear_down()


def hold(scene: Scene, trial: Trial, name: str, point: str, **changes: Any) -> Forked:
    """Start a process that stops itself at a failpoint, and wait until it has."""
    held = scene.start(name, points=f"{point}=pause", **changes)
    eventually(lambda: held.is_stopped)
    trial.kills += 1
    return held


def go_on(trial: Trial, *held: Forked) -> None:
    """Let stopped processes run to their end."""
    for each in held:
        each.go_on()
    for each in held:
        if (code := each.wait()) not in (0, -signal.SIGKILL):
            trial.findings.append(f"a process that went on ended with {code}; it said: {each.told[-2000:]}")
