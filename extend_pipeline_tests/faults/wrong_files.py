"""A scenario that one kill does not make: while tasks run, the catalogue has a mistake and the accounts are gone. What
is paid for comes home all the same, nothing is bought meanwhile, and no video is taken for one that left."""

from __future__ import annotations

import json

from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline_tests.faults.audit import Trial, check
from extend_pipeline_tests.faults.stage import Stage
from extend_pipeline_tests.faults.trial import kill, recover, run
from extend_pipeline_tests.support.harness.charges import attempts_in


def wrong_files(provider: str, stage: Stage, trial: Trial) -> None:
    """Kill a process when its tasks run, spoil both files, and let another one work; then restore the files."""
    scene = stage.scene(provider, (2, 2))
    kill(scene, trial, "poll.before_query=kill")
    charges = len(scene.book().charges)
    catalogue = json.loads((scene.path / "catalog.yaml").read_text(encoding="utf-8"))
    catalogue["videos"][-1]["extent"] = {}
    (scene.path / "catalog.yaml").write_text(json.dumps(catalogue), encoding="utf-8")
    (scene.path / "accounts.yaml").unlink()
    run(scene, trial, "care")
    check(scene, trial, "after the work with wrong files")
    with scene.ledger() as ledger:
        open_states = sorted({row.state for row in attempts_in(ledger)} - {AttemptState.STORED.value})
        with ledger.read() as connection:
            withdrawn = [row.video_key for row in queries.videos(connection) if row.state == VideoState.WITHDRAWN.value]
    if open_states:
        trial.findings.append(f"with wrong files attempts are left {', '.join(open_states)}: nobody fetched them")
    if withdrawn:
        trial.findings.append(f"a mistake in a file withdrew {', '.join(withdrawn)}")
    if len(scene.book().charges) != charges:
        trial.findings.append(f"{len(scene.book().charges) - charges} steps were bought while the files were wrong")
    if not charges:
        trial.findings.append("nothing had been charged when the files were spoilt")
    scene.write_catalogue()
    scene.write_accounts()
    trial.fired = 1
    recover(scene, trial)
    scene.tear_down()
