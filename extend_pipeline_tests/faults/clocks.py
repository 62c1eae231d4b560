"""Specials with a process whose clock is a day ahead: what it sent is fetched, and what it spent is counted, by those
whose clock is right."""

from __future__ import annotations

from typing import Any, Final

from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.faults.audit import Trial, check
from extend_pipeline_tests.faults.child import skipped
from extend_pipeline_tests.faults.races import ONE_STEP
from extend_pipeline_tests.faults.scene import Scene
from extend_pipeline_tests.faults.stage import Stage
from extend_pipeline_tests.faults.trial import kill, recover, run
from extend_pipeline_tests.support.harness.charges import attempts_in

AHEAD_MS: Final = 86_400_000
AHEAD_CLOCK: Final = "clock-ahead"
PATIENCE_MS: Final = 3_600_000  # Luma's files are gone by then


def clock_ahead(provider: str, stage: Stage, trial: Trial) -> None:
    """One step is sent and one refused for the moment by processes whose clock is a day ahead; each is killed when it
    has written down its answer and holds nothing, and one whose clock is right finishes both within the hour."""
    scene = stage.scene(provider, (1, 1))
    busy = "code_1302" if provider == "kling" else "rate_limit"
    scene.sandbox.faults([{"kind": busy, "where": "submit", "match": {"video_id": scene.source(1)}}])
    for video, options in (("v0", _ahead(scene)), ("v1", {"clock": scene.path / AHEAD_CLOCK})):
        kill(scene, trial, "submit.after_outcome=kill", videos=(video,), **options)
    check(scene, trial, "after a clock that was ahead")
    run(scene, trial, "right")
    trial.fired = int(scene.sandbox.faults()[0]["fired"])
    with scene.ledger() as ledger:
        left = [
            row.state for row in attempts_in(ledger) if row.state not in (AttemptState.STORED, AttemptState.REJECTED)
        ]
    passed_ms = skipped(scene.job().clock)
    if left or passed_ms > PATIENCE_MS:
        trial.findings.append(f"with the clock right again, {left} are left after {passed_ms // 60_000} minutes")
        return  # a process that never looks would only take its time in what follows
    recover(scene, trial)
    scene.tear_down()


def budget_of_tomorrow(provider: str, stage: Stage, trial: Trial) -> None:
    """What a process spent whose clock is a day ahead leaves nothing of today's budget, which is for one step."""
    budget = {"per_day": ONE_STEP[provider], "total": 10 * ONE_STEP[provider]}
    scene = stage.scene(provider, (1, 1), budget=budget)
    run(scene, trial, "ahead", videos=("v0",), **_ahead(scene))
    run(scene, trial, "right", submit=False)
    run(scene, trial, "today", videos=("v1",))
    check(scene, trial, "after both")
    if (charges := len(scene.book().charges)) != 1:
        trial.findings.append(f"{charges} charges on one day whose budget is for one step")
    scene.options = {}
    scene.write_accounts()
    recover(scene, trial)
    scene.tear_down()


def _ahead(scene: Scene) -> dict[str, Any]:
    """A process with a clock of its own."""
    return {"clock": scene.path / AHEAD_CLOCK, "skipped_ms": AHEAD_MS}
