"""What operators do to the files of a home whose videos are paid for: a new key, an edited prompt. It buys nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from extend_pipeline_tests.faults.homes.factory import HomeFactory
from extend_pipeline_tests.faults.homes.scenario_home import PAST_A_LEASE_MS, ScenarioHome
from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult, check, check_at_the_end
from extend_pipeline_tests.faults.scenarios.run import run

Change = Callable[[dict[str, Any]], dict[str, Any]]


def _renamed(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "key": f"new-{entry['key']}"}


def _edited(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "extend": {**entry["extend"], "prompt": "the fog lifts."}}


def _says_what_it_was(entry: dict[str, Any]) -> dict[str, Any]:
    return {**_renamed(entry), "was": entry["key"]}


def _put_back(entry: dict[str, Any]) -> dict[str, Any]:
    return entry


CHANGES: Final[dict[str, tuple[Change, Change]]] = {
    "new-key": (_renamed, _says_what_it_was),
    "edit": (_edited, _put_back),
}
"""What the operator does to an entry, and what they do when they are asked."""


def changed_files(provider: str, change: str, factory: HomeFactory, result: ScenarioResult) -> None:
    """Buy two videos, change their entries as the operator does, then as they do when they are asked: not one charge
    more."""
    home = factory.home(provider, (2, 1))
    run(home, result, "bought")
    before = _charges(home, result)
    path = home.path / "catalog.yaml"
    entries = json.loads(path.read_text(encoding="utf-8"))["videos"]
    for turn, changed in enumerate(CHANGES[change]):
        path.write_text(json.dumps({"videos": [changed(entry) for entry in entries]}), encoding="utf-8")
        run(home, result, f"changed{turn}", skipped_ms=PAST_A_LEASE_MS)
        if (after := _charges(home, result)) != before:
            result.findings.append(f"{before} charges before the change, {after} after it")
    check(home, result, "after the files were changed")
    check_at_the_end(home, result)
    result.fired = 1
    home.tear_down()


def _charges(home: ScenarioHome, result: ScenarioResult) -> int:
    count = len(home.book().charges)
    if not count:
        result.findings.append("nothing was bought")
    return count
