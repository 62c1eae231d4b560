"""Specials with a process whose clock is a day ahead: what it sent is fetched, and what it spent is counted, by those
whose clock is right."""

from __future__ import annotations

from typing import Any, Final

from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.faults.homes.factory import HomeFactory
from extend_pipeline_tests.faults.homes.scenario_home import ScenarioHome
from extend_pipeline_tests.faults.processes.job import skipped
from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult, check
from extend_pipeline_tests.faults.scenarios.races import ONE_STEP
from extend_pipeline_tests.faults.scenarios.run import kill, recover, run
from extend_pipeline_tests.support.harness.charges import attempts_in

AHEAD_MS: Final = 86_400_000
AHEAD_CLOCK: Final = "clock-ahead"
PATIENCE_MS: Final = 3_600_000  # Luma's files are gone by then


def clock_ahead(provider: str, factory: HomeFactory, result: ScenarioResult) -> None:
    """One step is sent and one refused for the moment by processes whose clock is a day ahead; each is killed when it
    has written down its answer and holds nothing, and one whose clock is right finishes both within the hour."""
    home = factory.home(provider, (1, 1))
    busy = "code_1302" if provider == "kling" else "rate_limit"
    home.sandbox.faults([{"kind": busy, "where": "submit", "match": {"video_id": home.source(1)}}])
    for video, options in (("v0", _ahead(home)), ("v1", {"clock": home.path / AHEAD_CLOCK})):
        kill(home, result, "submit.after_outcome=kill", videos=(video,), **options)
    check(home, result, "after a clock that was ahead")
    run(home, result, "right")
    result.fired = int(home.sandbox.faults()[0]["fired"])
    with home.ledger() as ledger:
        left = [
            row.state for row in attempts_in(ledger) if row.state not in (AttemptState.STORED, AttemptState.REJECTED)
        ]
    passed_ms = skipped(home.job().clock)
    if left or passed_ms > PATIENCE_MS:
        result.findings.append(f"with the clock right again, {left} are left after {passed_ms // 60_000} minutes")
        return  # a process that never looks would only take its time in what follows
    recover(home, result)
    home.tear_down()


def budget_of_tomorrow(provider: str, factory: HomeFactory, result: ScenarioResult) -> None:
    """What a process spent whose clock is a day ahead leaves nothing of today's budget, which is for one step."""
    budget = {"per_day": ONE_STEP[provider], "total": 10 * ONE_STEP[provider]}
    home = factory.home(provider, (1, 1), budget=budget)
    run(home, result, "ahead", videos=("v0",), **_ahead(home))
    run(home, result, "right", submit=False)
    run(home, result, "today", videos=("v1",))
    check(home, result, "after both")
    if (charges := len(home.book().charges)) != 1:
        result.findings.append(f"{charges} charges on one day whose budget is for one step")
    home.options = {}
    home.write_accounts()
    recover(home, result)
    home.tear_down()


def _ahead(home: ScenarioHome) -> dict[str, Any]:
    """A process with a clock of its own."""
    return {"clock": home.path / AHEAD_CLOCK, "skipped_ms": AHEAD_MS}
