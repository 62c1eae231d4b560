"""Scenarios that one kill does not make: two processes at once, a lost ledger, a power cut, a provider that says "no
such task" of one that exists, a forged callback. Same stage, same books, same form of findings as the matrix."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, Final

from extend_pipeline.engine.guards.ledger_memory import MEMORY_FILE
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.faults import disk
from extend_pipeline_tests.faults.audit import Trial, check, close_the_books
from extend_pipeline_tests.faults.clocks import budget_of_tomorrow, clock_ahead
from extend_pipeline_tests.faults.people import CHANGES, changed_files
from extend_pipeline_tests.faults.races import HELD_AT, budget_race, go_on, hold, lease
from extend_pipeline_tests.faults.scene import PAST_A_LEASE_MS, Scene
from extend_pipeline_tests.faults.stage import Stage
from extend_pipeline_tests.faults.trial import kill, played, recover, run
from extend_pipeline_tests.faults.upstream import CLASSES, PROVIDERS
from extend_pipeline_tests.faults.wrong_files import wrong_files
from extend_pipeline_tests.support.harness.charges import attempts_in
from extend_pipeline_tests.support.harness.operator import Decision

Play = Callable[[Stage, Trial], None]

LOST_AT: Final = ("submit.after_outcome", "poll.after_query", "collect.before_stored")
CUT_AT: Final = (
    "collect.mid_download",
    "collect.before_fsync",
    "collect.before_rename",
    "collect.after_rename",
    "collect.before_stored",
    "collect.after_stored",
)
CUTS: Final = (1, 3)  # of some providers the first two fetches are of sources


def lost_ledger(point: str, stage: Stage, trial: Trial) -> None:
    """The ledger is gone after charges were made; a new one asks for the same keys, which are refused as taken."""
    scene = stage.scene("kling", (2, 1))
    kill(scene, trial, f"{point}=kill@2")
    before = len(scene.book().charges)
    scene.lay_ledger()
    run(scene, trial, "asks", skipped_ms=PAST_A_LEASE_MS)
    if len(scene.book().charges) != before:
        trial.findings.append("a ledger that nobody accepted paid")
    run(scene, trial, "rebuilt", decisions=(Decision("accept"),))
    check(scene, trial, "after the ledger was lost")
    close_the_books(scene, trial)
    if not before:
        trial.findings.append("nothing had been charged when the ledger was lost")
    scene.tear_down()


def other_ledger(stage: Stage, trial: Trial) -> None:
    """The ledger is lost where no key of ours would be refused: nothing is paid until a person accepts the new one."""
    scene = stage.scene("kling-gateway", (1, 1))
    run(scene, trial, "before")
    trial.fired = before = len(scene.book().charges)
    scene.lay_ledger()
    run(scene, trial, "asks")
    if len(scene.book().charges) != before:
        trial.findings.append(f"{before} charges became {len(scene.book().charges)} with a ledger that nobody accepted")
    scene.tear_down()


def ledger_changed_meanwhile(stage: Stage, trial: Trial) -> None:
    """While a process stands between its plan and its claim, the home learns of another ledger."""
    scene = stage.scene("kling-gateway", (1,))
    held = hold(scene, trial, "held", "submit.before_claim")
    file = scene.settings.state_dir / MEMORY_FILE
    known = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**known, "ledger_id": "another", "bought": True}), encoding="utf-8")
    go_on(trial, held)
    trial.fired = 1
    if scene.book().charges:
        trial.findings.append("a claim was made in a ledger that the home no longer goes by")
    scene.tear_down()


def power_cut(provider: str, point: str, hit: int, names_too: bool, stage: Stage, trial: Trial) -> None:
    """The machine loses power: bytes that were not synced are gone, and perhaps names."""
    scene = stage.scene(provider, (2, 1))
    log = scene.path / "synced.txt"
    kill(scene, trial, f"{point}=kill@{hit}", seen_synced=log)
    trial.fired = disk.cut(log, scene.settings.media_dir, names_too=names_too)
    recover(scene, trial)
    scene.tear_down()


def one_absence(stage: Stage, trial: Trial) -> None:
    """The provider once says "no such task" of a task that exists; nothing may be released by that."""
    scene = in_doubt_with_a_control(stage, trial)
    scene.sandbox.faults([{"kind": "code_1203", "where": "query"}])
    recover(scene, trial)
    trial.fired = int(scene.sandbox.faults()[-1]["fired"])
    scene.tear_down()


def long_absence(stage: Stage, trial: Trial) -> None:
    """It says so for as long as the account's rules ask: the step is tried again, with the same key, which is taken."""
    scene = in_doubt_with_a_control(stage, trial)
    lie = {"kind": "code_1203", "where": "query", "times": 2, "match": {"video_id": scene.source(0)}}
    scene.sandbox.faults([lie])
    run(scene, trial, "fooled", skipped_ms=PAST_A_LEASE_MS)
    check(scene, trial, "after the step was tried again")
    close_the_books(scene, trial)
    trial.fired = int(scene.sandbox.faults()[-1]["fired"])
    scene.tear_down()


def in_doubt_with_a_control(stage: Stage, trial: Trial) -> Scene:
    """A step in doubt whose task exists, beside one that is known; killed before the first look-up."""
    scene = stage.scene("kling", (1, 1))
    run(scene, trial, "before", videos=("v1",))
    scene.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    kill(scene, trial, "recover.before_lookup=kill")
    return scene


def forged_callback(stage: Stage, trial: Trial) -> None:
    """Two steps are in doubt; a callback to the first one's address names the second one's task."""
    callbacks = {"url": "http://127.0.0.1:9/hooks"}  # nobody listens there: what arrives is what is handed in here
    scene = stage.scene("kling-gateway", (1, 1), callbacks=callbacks, passes=["callback_url"])
    scene.sandbox.faults([{"kind": "reset_after", "where": "submit", "times": 2}])
    run(scene, trial, "sent")
    tasks = {str(task["parent_video_id"]): task for task in scene.tasks()}
    first, second = tasks[scene.source(0)], tasks[scene.source(1)]
    run(scene, trial, "look", submit=False, letters=(_letter(first, names=second),), skipped_ms=PAST_A_LEASE_MS)
    check(scene, trial, "after a forged callback")
    with scene.ledger() as ledger:
        states = sorted(row.state for row in attempts_in(ledger))
    if states != [AttemptState.IN_DOUBT, AttemptState.IN_DOUBT]:
        trial.findings.append(f"after a forged callback the attempts are {states}, both should be in doubt")
    run(scene, trial, "told", submit=False, letters=(_letter(first, names=first),))
    check(scene, trial, "after a true one")
    trial.fired = int(scene.sandbox.faults()[0]["fired"])
    recover(scene, trial)
    scene.tear_down()


def _letter(to: dict[str, Any], *, names: dict[str, Any]) -> tuple[str, str]:
    """A callback to the address of one task's attempt that speaks of another task: its token and its body."""
    token = str(to["callback_url"]).rpartition("/")[2]
    return token, json.dumps({"task_id": names["task_id"], "task_status": "succeed", "task_status_msg": ""})


def _all() -> dict[str, tuple[str, Play]]:
    """Name → class and play."""
    found: dict[str, tuple[str, Play]] = {}
    for provider in PROVIDERS:
        group = CLASSES[provider]
        for change in CHANGES:
            found[f"special/{change}/{provider}"] = (group, partial(changed_files, provider, change))
        found[f"special/budget-race/{provider}"] = (group, partial(budget_race, provider))
        found[f"special/wrong-files/{provider}"] = (group, partial(wrong_files, provider))
        found[f"special/clock-ahead/{provider}"] = (group, partial(clock_ahead, provider))
        found[f"special/budget-of-tomorrow/{provider}"] = (group, partial(budget_of_tomorrow, provider))
        for point, behind in product(HELD_AT, (False, True)):
            name = f"special/lease/{provider}/{point}{'+behind' if behind else ''}"
            found[name] = (group, partial(lease, provider, point, behind))
        for point in CUT_AT:
            for hit, names_too in product(CUTS, (False, True)):
                name = f"special/power-cut/{provider}/{point}@{hit}{'+names' if names_too else ''}"
                found[name] = (group, partial(power_cut, provider, point, hit, names_too))
    for point in LOST_AT:
        found[f"special/lost-ledger/{point}"] = ("A", partial(lost_ledger, point))
    found["special/other-ledger"] = ("C", other_ledger)
    found["special/ledger-changed-meanwhile"] = ("C", ledger_changed_meanwhile)
    found["special/one-absence"] = ("A", one_absence)
    found["special/long-absence"] = ("A", long_absence)
    found["special/forged-callback"] = ("C", forged_callback)
    return found


def _played(name: str, group: str, play: Play, stage: Stage) -> Trial:
    trial = Trial(name, group)
    return played(trial, lambda: play(stage, trial))


def needs_kill(name: str) -> bool:
    """Whether a process is killed or held in a special: not where a person or a letter does the harm."""
    return not any(f"/{kind}" in name for kind in (*CHANGES, "budget-of-tomorrow", "other-ledger", "forged-callback"))


def in_slice(name: str) -> bool:
    """Whether a special is played with the other tests; of the power cuts, one at each failpoint."""
    chosen = {
        f"special/power-cut/{PROVIDERS[n % len(PROVIDERS)]}/{point}@{CUTS[n % 2]}{'+names' if n % 3 else ''}"
        for n, point in enumerate(CUT_AT)
    }
    return "/power-cut/" not in name or name in chosen


SPECIALS: Final[dict[str, Callable[[Stage], Trial]]] = {
    name: partial(_played, name, group, play) for name, (group, play) in _all().items()
}
