"""What people do to the files of a home whose videos are paid for: a new key, an edited prompt. It buys nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from extend_pipeline_tests.faults.audit import Trial, check, close_the_books
from extend_pipeline_tests.faults.scene import PAST_A_LEASE_MS, Scene
from extend_pipeline_tests.faults.stage import Stage
from extend_pipeline_tests.faults.trial import run

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
"""What a person does to an entry, and what they do when they are asked."""


def changed_files(provider: str, change: str, stage: Stage, trial: Trial) -> None:
    """Buy two videos, change their entries as a person does, then as they do when they are asked: not one charge
    more."""
    scene = stage.scene(provider, (2, 1))
    run(scene, trial, "bought")
    before = _charges(scene, trial)
    path = scene.path / "catalog.yaml"
    entries = json.loads(path.read_text(encoding="utf-8"))["videos"]
    for turn, changed in enumerate(CHANGES[change]):
        path.write_text(json.dumps({"videos": [changed(entry) for entry in entries]}), encoding="utf-8")
        run(scene, trial, f"changed{turn}", skipped_ms=PAST_A_LEASE_MS)
        if (after := _charges(scene, trial)) != before:
            trial.findings.append(f"{before} charges before the change, {after} after it")
    check(scene, trial, "after the files were changed")
    close_the_books(scene, trial)
    trial.fired = 1
    scene.tear_down()


def _charges(scene: Scene, trial: Trial) -> int:
    count = len(scene.book().charges)
    if not count:
        trial.findings.append("nothing was bought")
    return count
