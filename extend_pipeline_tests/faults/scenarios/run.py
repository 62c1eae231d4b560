"""One scenario from its beginning to its end: a process is killed while a fault is armed; a second one may look but not
submit; a third one finishes; and the operator decides what only an operator may. The charges are audited after each of
them."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from extend_pipeline_tests.faults.homes.factory import HomeFactory, own_fork_server
from extend_pipeline_tests.faults.homes.scenario_home import PAST_A_LEASE_MS, ScenarioHome
from extend_pipeline_tests.faults.processes.job import DECLINED
from extend_pipeline_tests.faults.scenarios.checks import STUMBLED, ScenarioResult, check, check_at_the_end
from extend_pipeline_tests.faults.scenarios.combinations import Scenario, class_of
from extend_pipeline_tests.faults.scenarios.operator import decisions, unfinished

MAX_TURNS: Final = 5
"""The operator is asked at most so often; an answer may lead to a new question (a failed task, then a stopped
account)."""

LATER_MS: Final = 610_000
"""After ten minutes a source that could not be had is fetched again, and so is a film."""


def run_scenario(scenario: Scenario, factory: HomeFactory) -> ScenarioResult:
    """Run a scenario of the matrix. Every error, also one of the harness, is a finding."""
    result = ScenarioResult(scenario.name, class_of(scenario))
    return measured(result, lambda: _run_scenario(scenario, factory, result))


def measured(result: ScenarioResult, run: Callable[[], None]) -> ScenarioResult:
    """Run it, take the time, and turn an exception into a finding."""
    began, cpu_began = time.monotonic(), _cpu_s()
    try:
        run()
    except Exception:  # noqa: BLE001 - it belongs to this scenario, and the others go on
        result.findings.append(f"{STUMBLED}: {traceback.format_exc(limit=-6)}")
    result.seconds, result.cpu_s = time.monotonic() - began, _cpu_s() - cpu_began
    return result


def _run_scenario(scenario: Scenario, factory: HomeFactory, result: ScenarioResult) -> None:
    home = factory.home(scenario.provider, scenario.steps, by_list=scenario.by_list)
    home.may_cost_more = any(fault.kind == "odd_deduction" for fault in scenario.faults)
    home.sandbox.faults(_orders(scenario, home))
    publish = scenario.publishes
    kill(home, result, scenario.armed, publish=publish)
    for _ in range(MAX_TURNS):
        if result.kills:
            break
        # the fault came first, and left too little to do; the operator or time mends that, and it goes on
        check(home, result, "before the crash")
        with home.ledger() as ledger:
            decided = decisions(home, ledger)
        skipped_ms = 0 if decided else LATER_MS
        kill(home, result, f"{scenario.point}=kill", decisions=decided, publish=publish, skipped_ms=skipped_ms)
    if not result.kills:
        result.findings.append(f"{scenario.point} was not reached")
    recover(home, result, publish=publish)
    if not all(_fired(home, scenario)):  # what the kill has left was too little: more work comes, and it is armed still
        result.late = 1
        home.steps += (1, 1)
        home.write_catalogue()
        run(home, result, "late", publish=publish)
        recover(home, result, publish=publish)
    fired = _fired(home, scenario)
    result.fired = sum(fired)
    result.findings += [
        f"{fault.name} never struck" for fault, times in zip(scenario.faults, fired, strict=True) if not times
    ]
    if not result.findings:
        home.tear_down()


def _fired(home: ScenarioHome, scenario: Scenario) -> list[int]:
    """Return how often each fault of the scenario has struck; their orders come first."""
    return [int(order["fired"]) for order in home.sandbox.faults()[: len(scenario.faults)]]


def kill(home: ScenarioHome, result: ScenarioResult, points: str, **changes: Any) -> None:
    """Let a process work until a failpoint kills it; it may also come to its end."""
    victim = home.start("victim", points=points, **changes)
    code = victim.wait()
    result.kills += code == -signal.SIGKILL
    if code not in (0, DECLINED, -signal.SIGKILL):
        result.findings.append(f"the victim ended with {code}; it said: {victim.output_text[-2000:]}")


def _orders(scenario: Scenario, home: ScenarioHome) -> list[dict[str, Any]]:
    """The faults first. A look-up needs a doubt: the second video's answer is lost on the way."""
    if not scenario.point.startswith("recover"):
        return [fault.order() for fault in scenario.faults]
    first = {"match": {"video_id": home.source(0)}}
    orders = [fault.order(**first if fault.where == "submit" else {}) for fault in scenario.faults]
    return [*orders, {"kind": "reset_after", "where": "submit", "match": {"video_id": home.source(1)}}]


def recover(home: ScenarioHome, result: ScenarioResult, *, publish: bool = False) -> None:
    """Everything after the crash: look without submitting, finish, let the operator decide; check after each."""
    check(home, result, "at the crash")
    run(home, result, "look", submit=False, publish=publish, skipped_ms=PAST_A_LEASE_MS)
    check(home, result, "after a look without submitting")
    run(home, result, "finish", publish=publish)
    check(home, result, "after the work went on")
    for turn in range(MAX_TURNS):
        with home.ledger() as ledger:
            decided = decisions(home, ledger) if unfinished(ledger) else ()
            if not unfinished(ledger):
                break
        result.adopted += sum(decision.verb == "adopt" for decision in decided)
        result.resubmitted += sum(decision.verb == "resubmit" for decision in decided)
        # without a word, time helps: something is tried again after a while
        run(home, result, f"turn{turn}", decisions=decided, publish=publish, skipped_ms=0 if decided else LATER_MS)
        check(home, result, f"after {', '.join(map(str, decided)) or 'ten minutes'}")
    check_at_the_end(home, result, publish=publish)


def run(home: ScenarioHome, result: ScenarioResult, name: str, **changes: Any) -> None:
    """Let one process do its work to the end."""
    child = home.start(name, **changes)
    code = child.wait()
    if code not in (0, DECLINED):  # a fault may strike while a task is looked at for its adoption: it is decided again
        result.findings.append(f"{name} ended with {code}; it said: {child.output_text[-2000:]}")


def _cpu_s() -> float:
    return time.process_time() + own_fork_server().cpu_s
