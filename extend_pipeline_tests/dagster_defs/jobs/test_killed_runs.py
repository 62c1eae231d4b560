"""A real `dagster dev` whose run is killed while it fetches: the pipeline goes on without a person, and nothing is paid
for twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
import psutil
import pytest
from sqlalchemy import select

from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB
from extend_pipeline.dagster_defs.jobs.alive import SILENCE_S
from extend_pipeline.engine.home import owner_is_gone
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.dagster_defs.conftest import SMALL
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.home.homes import credentials_env, seeds, video, write_home
from extend_pipeline_tests.support.servers.ports import free_port

ROOT: Final = Path(__file__).parents[3]
GOES_ON_WITHIN_S: Final = 120.0
VIDEOS: Final = 3
HOPS: Final = 2


@dataclass
class Running:
    """A home and the Dagster that works on it."""

    home: Path
    sandbox: SandboxHandle
    ledger: Ledger
    url: str

    @property
    def dagster_home(self) -> Path:
        """The folder of the Dagster instance."""
        return self.home / "dagster"

    def fetching(self) -> psutil.Process | None:
        """Return the process that fetches a result now."""
        with self.ledger.read() as connection:
            owners = connection.execute(
                select(tables.schedule.c.owner)
                .join(tables.attempts, tables.attempts.c.attempt_id == tables.schedule.c.attempt_id)
                .where(tables.attempts.c.state == "succeeded", tables.schedule.c.owner != "")
            ).scalars()
            return next(
                (psutil.Process(int(owner.split(":")[1])) for owner in owners if not owner_is_gone(owner)), None
            )

    def stored(self) -> int:
        """Return how many results are stored."""
        with self.ledger.read() as connection:
            states = connection.execute(select(tables.attempts.c.state)).scalars().all()
        return states.count("stored")

    def charges(self) -> int:
        """Return how many charges there are upstream."""
        return len(self.sandbox.charges()["charges"])

    def ends_of_runs(self) -> list[tuple[str, str]]:
        """Return how the runs of advance_job have ended, the first one first: status and message."""
        with dg.DagsterInstance.from_config(str(self.dagster_home)) as instance:
            runs = instance.get_runs(dg.RunsFilter(job_name=ADVANCE_JOB))
            return [(run.status.value, last_message(instance, run.run_id)) for run in reversed(runs)]


def last_message(instance: dg.DagsterInstance, run_id: str) -> str:
    """Return the message of the event that ended a run; empty while it goes on."""
    kinds = {dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED, dg.DagsterEventType.RUN_SUCCESS}
    records = instance.get_records_for_run(run_id, of_type=kinds).records
    event = records[-1].event_log_entry.dagster_event if records else None
    return "" if event is None else event.message or ""


@contextmanager
def dagster_dev(home: Path, sandbox: SandboxHandle) -> Iterator[Running]:
    """Run a real `dagster dev` of an empty home with the configuration of `deploy/`, until the end of the block."""
    entries = [video(f"v{number}", extend={"steps": HOPS, "prompt": "x"}) for number in range(VIDEOS)]
    for entry in entries:
        entry["source"]["video_id"] = f"{home.parent.name}-{entry['key']}"
    sandbox.seed(seeds(entries))
    write_home(home, sandbox.base_url, entries)
    (home / "state").mkdir()
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text((ROOT / "deploy" / "dagster.yaml").read_text())
    port = free_port()
    environment = {
        **os.environ,
        **credentials_env(SMALL),
        "EXTEND_PIPELINE_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "PYTHONPATH": str(ROOT),
    }
    program = Path(sys.executable).parent / "dagster"
    command = [program, "dev", "-m", "extend_pipeline.definitions", "-h", "127.0.0.1", "-p", str(port)]
    with (home / "dagster.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=home, start_new_session=True
        )
    ledger = open_ledger(f"sqlite:///{home}/state/ledger.sqlite")
    try:
        yield Running(home, sandbox, ledger, f"http://127.0.0.1:{port}")
    finally:
        ledger.close()
        for number in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)


def code_servers(run: psutil.Process) -> list[psutil.Process]:
    """Return the code servers above a run's process, the nearest one first: the last one is restarted by Dagster."""
    return [above for above in run.parents() if {"grpc", "code-server"}.intersection(above.cmdline())]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("with_server", [False, True], ids=["run", "run-and-code-server"])
def test_work_goes_on_after_a_kill(with_server: bool, tmp_path: Path, sandbox: SandboxHandle) -> None:
    hold = {"kind": "timeout_before", "where": "download", "times": 99, "hold": 50}
    sandbox.faults([hold])
    charges_before = len(sandbox.charges()["charges"])
    with dagster_dev(tmp_path / "home", sandbox) as running:
        run = eventually(running.fetching, within=300)
        # servers first, because they would report the run
        for process in (*(reversed(code_servers(run)) if with_server else ()), run):
            process.kill()
        began = time.monotonic()
        sandbox.clear_faults()
        stored = running.stored()
        eventually(lambda: running.stored() > stored, within=GOES_ON_WITHIN_S)
        print(f"went on after {time.monotonic() - began:.0f} s")
        eventually(lambda: running.stored() == VIDEOS * HOPS, within=300)
        assert running.charges() - charges_before == VIDEOS * HOPS
        (status, message), *_ = running.ends_of_runs()
    assert status == "FAILURE"
    if with_server:
        assert f"{SILENCE_S:g} s" in message
