"""One scenario from its beginning to its end: a process is killed while a fault is armed; a second one may look but not
submit; a third one finishes; and a person decides what only a person may. The books are checked after each of them."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

from extend_pipeline_tests.faults.audit import STUMBLED, Trial, check, close_the_books
from extend_pipeline_tests.faults.child import DECLINED
from extend_pipeline_tests.faults.person import decisions, unfinished
from extend_pipeline_tests.faults.scenarios import Scenario, class_of
from extend_pipeline_tests.faults.scene import PAST_A_LEASE_MS, Scene
from extend_pipeline_tests.faults.stage import Stage, own_nursery

MAX_TURNS: Final = 5
"""A person is asked at most so often; an answer may lead to a new question (a failed task, then a stopped account)."""

LATER_MS: Final = 610_000
"""After ten minutes a source that could not be had is fetched again, and so is a film."""


def play(scenario: Scenario, stage: Stage) -> Trial:
    """Play a scenario of the matrix. Whatever goes wrong, also here, is a finding."""
    trial = Trial(scenario.name, class_of(scenario))
    return played(trial, lambda: _play(scenario, stage, trial))


def played(trial: Trial, run: Callable[[], None]) -> Trial:
    """Run it, take the time, and turn an exception into a finding."""
    began, cpu_began = time.monotonic(), _cpu_s()
    try:
        run()
    except Exception:  # noqa: BLE001 - whatever it is, it belongs to this scenario, and the others go on
        trial.findings.append(f"{STUMBLED}: {traceback.format_exc(limit=-6)}")
    trial.seconds, trial.cpu_s = time.monotonic() - began, _cpu_s() - cpu_began
    return trial


def _play(scenario: Scenario, stage: Stage, trial: Trial) -> None:
    scene = stage.scene(scenario.provider, scenario.steps, by_list=scenario.fault.where == "list")
    scene.may_cost_more = scenario.fault.kind == "odd_deduction"
    scene.sandbox.faults(_orders(scenario, scene))
    publish = scenario.publishes
    kill(scene, trial, scenario.armed, publish=publish)
    for _ in range(MAX_TURNS):
        if trial.kills:
            break
        # the fault came first, and left too little to do; a person or time mends that, and it goes on
        check(scene, trial, "before the crash")
        with scene.ledger() as ledger:
            decided = decisions(scene, ledger)
        skipped_ms = 0 if decided else LATER_MS
        kill(scene, trial, f"{scenario.point}=kill", decisions=decided, publish=publish, skipped_ms=skipped_ms)
    if not trial.kills:
        trial.findings.append(f"{scenario.point} was not reached")
    recover(scene, trial, publish=publish)
    if not _fired(scene):  # what the kill has left was too little for it: more work comes, and it is armed still
        trial.late = 1
        scene.steps += (1, 1)
        scene.write_catalogue()
        run(scene, trial, "late", publish=publish)
        recover(scene, trial, publish=publish)
    trial.fired = _fired(scene)
    if not trial.fired:
        trial.findings.append(f"{scenario.fault.name} never struck")
    if not trial.findings:
        scene.tear_down()


def _fired(scene: Scene) -> int:
    return int(scene.sandbox.faults()[0]["fired"])


def kill(scene: Scene, trial: Trial, points: str, **changes: Any) -> None:
    """Let a process work until a failpoint kills it; it may also come to its end."""
    victim = scene.start("victim", points=points, **changes)
    code = victim.wait()
    trial.kills += code == -signal.SIGKILL
    if code not in (0, DECLINED, -signal.SIGKILL):
        trial.findings.append(f"the victim ended with {code}; it said: {victim.told[-2000:]}")


def _orders(scenario: Scenario, scene: Scene) -> list[dict[str, Any]]:
    """The fault itself first. A look-up needs a doubt: the second video's answer is lost on the way."""
    orders = [scenario.fault.order()]
    if scenario.point.startswith("recover"):
        lost = {"kind": "reset_after", "where": "submit", "match": {"video_id": scene.source(1)}}
        if scenario.fault.where == "submit":
            orders = [scenario.fault.order(match={"video_id": scene.source(0)})]
        orders.append(lost)
    return orders


def recover(scene: Scene, trial: Trial, *, publish: bool = False) -> None:
    """Everything after the crash: look without submitting, finish, let a person decide; check after each."""
    check(scene, trial, "at the crash")
    run(scene, trial, "look", submit=False, publish=publish, skipped_ms=PAST_A_LEASE_MS)
    check(scene, trial, "after a look without submitting")
    run(scene, trial, "finish", publish=publish)
    check(scene, trial, "after the work went on")
    for turn in range(MAX_TURNS):
        with scene.ledger() as ledger:
            decided = decisions(scene, ledger) if unfinished(ledger) else ()
            if not unfinished(ledger):
                break
        trial.adopted += sum(decision.verb == "adopt" for decision in decided)
        trial.resubmitted += sum(decision.verb == "resubmit" for decision in decided)
        # without a word, time helps: something is tried again after a while
        run(scene, trial, f"turn{turn}", decisions=decided, publish=publish, skipped_ms=0 if decided else LATER_MS)
        check(scene, trial, f"after {', '.join(map(str, decided)) or 'ten minutes'}")
    close_the_books(scene, trial, publish=publish)


def run(scene: Scene, trial: Trial, name: str, **changes: Any) -> None:
    """Let one process do its work to the end."""
    child = scene.start(name, **changes)
    code = child.wait()
    if code not in (0, DECLINED):  # a fault may strike while a task is looked at for its adoption: it is said again
        trial.findings.append(f"{name} ended with {code}; it said: {child.told[-2000:]}")


def _cpu_s() -> float:
    return time.process_time() + own_nursery().cpu_s
