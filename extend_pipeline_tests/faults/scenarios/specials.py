"""Scenarios that one kill does not make: two processes at once, a lost ledger, a power cut, a provider that says "no
such task" of one that exists, a forged callback. Same homes, same audit, same form of findings as the matrix."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, Final

from extend_pipeline.engine.guards.ledger_memory import MEMORY_FILE
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.faults.homes.factory import HomeFactory
from extend_pipeline_tests.faults.homes.scenario_home import PAST_A_LEASE_MS, ScenarioHome
from extend_pipeline_tests.faults.processes import power_cut as disk
from extend_pipeline_tests.faults.scenarios.changed_files import CHANGES, changed_files
from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult, check, check_at_the_end
from extend_pipeline_tests.faults.scenarios.clocks import budget_of_tomorrow, clock_ahead
from extend_pipeline_tests.faults.scenarios.races import HELD_AT, budget_race, go_on, hold, lease
from extend_pipeline_tests.faults.scenarios.run import kill, measured, recover, run
from extend_pipeline_tests.faults.scenarios.wrong_files import wrong_files
from extend_pipeline_tests.faults.upstream import CLASSES, PROVIDERS
from extend_pipeline_tests.support.harness.charges import attempts_in
from extend_pipeline_tests.support.harness.operator import Decision

SpecialScenario = Callable[[HomeFactory, ScenarioResult], None]

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


def lost_ledger(point: str, factory: HomeFactory, result: ScenarioResult) -> None:
    """The ledger is gone after charges were made; a new one asks for the same keys, which are refused as taken."""
    home = factory.home("kling", (2, 1))
    kill(home, result, f"{point}=kill@2")
    before = len(home.book().charges)
    home.lay_ledger()
    run(home, result, "asks", skipped_ms=PAST_A_LEASE_MS)
    if len(home.book().charges) != before:
        result.findings.append("a ledger that no operator had accepted paid")
    run(home, result, "rebuilt", decisions=(Decision("accept"),))
    check(home, result, "after the ledger was lost")
    check_at_the_end(home, result)
    if not before:
        result.findings.append("nothing had been charged when the ledger was lost")
    home.tear_down()


def another_ledger(factory: HomeFactory, result: ScenarioResult) -> None:
    """The ledger is lost where no key of ours would be refused: nothing is paid until the operator accepts the new
    one."""
    home = factory.home("kling-gateway", (1, 1))
    run(home, result, "before")
    result.fired = before = len(home.book().charges)
    home.lay_ledger()
    run(home, result, "asks")
    if len(home.book().charges) != before:
        result.findings.append(
            f"{before} charges became {len(home.book().charges)} with a ledger that no operator had accepted"
        )
    home.tear_down()


def ledger_changed_meanwhile(factory: HomeFactory, result: ScenarioResult) -> None:
    """While a process stands between its plan and its claim, the home learns of another ledger."""
    home = factory.home("kling-gateway", (1,))
    held = hold(home, result, "held", "submit.before_claim")
    file = home.settings.state_dir / MEMORY_FILE
    known = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**known, "ledger_id": "another", "bought": True}), encoding="utf-8")
    go_on(result, held)
    result.fired = 1
    if home.book().charges:
        result.findings.append("a claim was made in a ledger that the home no longer goes by")
    home.tear_down()


def power_cut(
    provider: str, point: str, hit: int, names_too: bool, factory: HomeFactory, result: ScenarioResult
) -> None:
    """The machine loses power: bytes that were not synced are gone, and perhaps names."""
    home = factory.home(provider, (2, 1))
    log = home.path / "synced.txt"
    kill(home, result, f"{point}=kill@{hit}", seen_synced=log)
    result.fired = disk.cut(log, home.settings.media_dir, names_too=names_too)
    recover(home, result)
    home.tear_down()


def one_absence(factory: HomeFactory, result: ScenarioResult) -> None:
    """The provider once says "no such task" of a task that exists; nothing may be released by that."""
    home = in_doubt_with_a_control(factory, result)
    home.sandbox.faults([{"kind": "code_1203", "where": "query"}])
    recover(home, result)
    result.fired = int(home.sandbox.faults()[-1]["fired"])
    home.tear_down()


def long_absence(factory: HomeFactory, result: ScenarioResult) -> None:
    """It says so for as long as the account's rules ask: the step is tried again, with the same key, which is taken."""
    home = in_doubt_with_a_control(factory, result)
    lie = {"kind": "code_1203", "where": "query", "times": 2, "match": {"video_id": home.source(0)}}
    home.sandbox.faults([lie])
    run(home, result, "fooled", skipped_ms=PAST_A_LEASE_MS)
    check(home, result, "after the step was tried again")
    check_at_the_end(home, result)
    result.fired = int(home.sandbox.faults()[-1]["fired"])
    home.tear_down()


def in_doubt_with_a_control(factory: HomeFactory, result: ScenarioResult) -> ScenarioHome:
    """A step in doubt whose task exists, beside one that is known; killed before the first look-up."""
    home = factory.home("kling", (1, 1))
    run(home, result, "before", videos=("v1",))
    home.sandbox.faults([{"kind": "reset_after", "where": "submit"}])
    kill(home, result, "recover.before_lookup=kill")
    return home


def forged_callback(factory: HomeFactory, result: ScenarioResult) -> None:
    """Two steps are in doubt; a callback to the first one's address names the second one's task."""
    callbacks = {"url": "http://127.0.0.1:9/hooks"}  # no server listens there: what arrives is what is handed in here
    home = factory.home("kling-gateway", (1, 1), callbacks=callbacks, passes=["callback_url"])
    home.sandbox.faults([{"kind": "reset_after", "where": "submit", "times": 2}])
    run(home, result, "sent")
    tasks = {str(task["parent_video_id"]): task for task in home.tasks()}
    first, second = tasks[home.source(0)], tasks[home.source(1)]
    run(
        home,
        result,
        "look",
        submit=False,
        callbacks=(_webhook_request(first, names=second),),
        skipped_ms=PAST_A_LEASE_MS,
    )
    check(home, result, "after a forged callback")
    with home.ledger() as ledger:
        states = sorted(row.state for row in attempts_in(ledger))
    if states != [AttemptState.IN_DOUBT, AttemptState.IN_DOUBT]:
        result.findings.append(f"after a forged callback the attempts are {states}, both should be in doubt")
    run(home, result, "callback", submit=False, callbacks=(_webhook_request(first, names=first),))
    check(home, result, "after a true one")
    result.fired = int(home.sandbox.faults()[0]["fired"])
    recover(home, result)
    home.tear_down()


def _webhook_request(to: dict[str, Any], *, names: dict[str, Any]) -> tuple[str, str]:
    """A callback to the address of one task's attempt that speaks of another task: its token and its body."""
    token = str(to["callback_url"]).rpartition("/")[2]
    return token, json.dumps({"task_id": names["task_id"], "task_status": "succeed", "task_status_msg": ""})


def _all() -> dict[str, tuple[str, SpecialScenario]]:
    """Return the class and the function of each special scenario, by name."""
    scenarios: dict[str, tuple[str, SpecialScenario]] = {}
    for provider in PROVIDERS:
        group = CLASSES[provider]
        for change in CHANGES:
            scenarios[f"special/{change}/{provider}"] = (group, partial(changed_files, provider, change))
        scenarios[f"special/budget-race/{provider}"] = (group, partial(budget_race, provider))
        scenarios[f"special/wrong-files/{provider}"] = (group, partial(wrong_files, provider))
        scenarios[f"special/clock-ahead/{provider}"] = (group, partial(clock_ahead, provider))
        scenarios[f"special/budget-of-tomorrow/{provider}"] = (group, partial(budget_of_tomorrow, provider))
        for point, behind in product(HELD_AT, (False, True)):
            name = f"special/lease/{provider}/{point}{'+behind' if behind else ''}"
            scenarios[name] = (group, partial(lease, provider, point, behind))
        for point in CUT_AT:
            for hit, names_too in product(CUTS, (False, True)):
                name = f"special/power-cut/{provider}/{point}@{hit}{'+names' if names_too else ''}"
                scenarios[name] = (group, partial(power_cut, provider, point, hit, names_too))
    for point in LOST_AT:
        scenarios[f"special/lost-ledger/{point}"] = ("A", partial(lost_ledger, point))
    scenarios["special/other-ledger"] = ("C", another_ledger)
    scenarios["special/ledger-changed-meanwhile"] = ("C", ledger_changed_meanwhile)
    scenarios["special/one-absence"] = ("A", one_absence)
    scenarios["special/long-absence"] = ("A", long_absence)
    scenarios["special/forged-callback"] = ("C", forged_callback)
    return scenarios


def _run_special(name: str, group: str, scenario: SpecialScenario, factory: HomeFactory) -> ScenarioResult:
    result = ScenarioResult(name, group)
    return measured(result, lambda: scenario(factory, result))


def needs_kill(name: str) -> bool:
    """Whether a process is killed or held in a special: not where the operator or a letter does the harm."""
    return not any(f"/{kind}" in name for kind in (*CHANGES, "budget-of-tomorrow", "other-ledger", "forged-callback"))


def in_slice(name: str) -> bool:
    """Whether a special is run with the other tests; of the power cuts, one at each failpoint."""
    chosen = {
        f"special/power-cut/{PROVIDERS[n % len(PROVIDERS)]}/{point}@{CUTS[n % 2]}{'+names' if n % 3 else ''}"
        for n, point in enumerate(CUT_AT)
    }
    return "/power-cut/" not in name or name in chosen


SPECIALS: Final[dict[str, Callable[[HomeFactory], ScenarioResult]]] = {
    name: partial(_run_special, name, group, scenario) for name, (group, scenario) in _all().items()
}
