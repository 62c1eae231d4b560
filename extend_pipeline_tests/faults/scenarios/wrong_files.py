"""A scenario that one kill does not make: while tasks run, the catalogue has a mistake and the accounts are gone. What
is paid for comes home all the same, nothing is bought meanwhile, and no video is taken for one that left."""

from __future__ import annotations

import json

from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState, VideoState
from extend_pipeline_tests.faults.homes.factory import HomeFactory
from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult, check
from extend_pipeline_tests.faults.scenarios.run import kill, recover, run
from extend_pipeline_tests.support.harness.charges import attempts_in


def wrong_files(provider: str, factory: HomeFactory, result: ScenarioResult) -> None:
    """Kill a process when its tasks run, spoil both files, and let another one work; then restore the files."""
    home = factory.home(provider, (2, 2))
    kill(home, result, "poll.before_query=kill")
    charges = len(home.book().charges)
    catalogue = json.loads((home.path / "catalog.yaml").read_text(encoding="utf-8"))
    catalogue["videos"][-1]["extent"] = {}
    (home.path / "catalog.yaml").write_text(json.dumps(catalogue), encoding="utf-8")
    (home.path / "accounts.yaml").unlink()
    run(home, result, "care")
    check(home, result, "after the work with wrong files")
    with home.ledger() as ledger:
        open_states = sorted({row.state for row in attempts_in(ledger)} - {AttemptState.STORED.value})
        with ledger.read() as connection:
            withdrawn = [row.video_key for row in queries.videos(connection) if row.state == VideoState.WITHDRAWN.value]
    if open_states:
        result.findings.append(f"with wrong files attempts are left {', '.join(open_states)}: no process fetched them")
    if withdrawn:
        result.findings.append(f"a mistake in a file withdrew {', '.join(withdrawn)}")
    if len(home.book().charges) != charges:
        result.findings.append(f"{len(home.book().charges) - charges} steps were bought while the files were wrong")
    if not charges:
        result.findings.append("nothing had been charged when the files were spoilt")
    home.write_catalogue()
    home.write_accounts()
    result.fired = 1
    recover(home, result)
    home.tear_down()
