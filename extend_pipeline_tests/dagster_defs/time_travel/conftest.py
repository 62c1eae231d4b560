"""A home, its sandbox and a Dagster instance that all go by one clock, which a test moves from tick to tick."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import time_machine

from extend_pipeline.dagster_defs.jobs.advance import ADVANCE_JOB
from extend_pipeline.dagster_defs.jobs.alive import UNCHANGED_S, unfinished_runs
from extend_pipeline.dagster_defs.recording.recorder import Recorder
from extend_pipeline.engine.drive import rounds
from extend_pipeline.sandbox import running_sandbox
from extend_pipeline_tests.dagster_defs.conftest import SMALL, Place, open_place


@dataclass
class Traveller:
    """A place, its clock, and the cursor that each sensor has left."""

    place: Place
    clock: Any  # time_machine.Coordinates until 2.x, Traveller since
    cursors: dict[str, str | None] = field(default_factory=dict)

    def go_to(self, moment: datetime) -> None:
        """Set the clock to a moment; it goes on from there."""
        self.clock.move_to(moment)

    def wait(self, **units: float) -> None:
        """Let so much time pass at once (`hours=1`)."""
        self.clock.shift(timedelta(**units))

    def look_at_runs(self) -> None:
        """Look for runs whose process is gone, once sensors have seen them for long enough: the monotonic clock by
        which they measure that doesn't travel."""
        for later_s in (0.0, UNCHANGED_S):
            unfinished_runs(self.place.instance, ADVANCE_JOB, monotonic_s=time.monotonic() + later_s)

    def tick(self, name: str) -> Any:
        """Evaluate a sensor as Dagster's daemon does: with its last cursor, and its asset events are recorded. Return
        the SensorExecutionData."""
        data = self.place.sensor(name, cursor=self.cursors.get(name))
        self.cursors[name] = data.cursor
        for event in data.asset_events:
            self.place.instance.report_runless_asset_event(event)
        return data

    def start_run(self) -> dg.DagsterRun:
        """Start the run of advance_job that a tick has requested; no process ever works on it."""
        job = self.place.defs.resolve_job_def("advance_job")
        run = self.place.instance.create_run_for_job(job, tags=job.tags)
        # without an event, the run has its time from the database, which has a clock of its own
        starting = dg.DagsterEvent(event_type_value=dg.DagsterEventType.RUN_STARTING.value, job_name=job.name)
        self.place.instance.report_dagster_event(starting, run_id=run.run_id)
        return run

    def work(self) -> None:
        """Do what is due and record it, as a run of advance_job does, without a run."""
        with self.place.resource.open() as pipeline:
            for _ in rounds(pipeline, linger_s=0, max_seconds=60, gap_s=0):
                pass
            recorder = Recorder(self.place.instance, pipeline, self.place.mount)
            while True:
                for event in recorder.pending_events():
                    self.place.instance.report_runless_asset_event(event)
                if recorder.done:
                    return

    def charges(self) -> int:
        """Return how many requests the upstream has charged."""
        return len(self.place.sandbox.charges()["charges"])

    def set_timezone(self, zone: str) -> None:
        """Write the time zone into the home's accounts.yaml."""
        path = self.place.home / "accounts.yaml"
        path.write_text(json.dumps({"timezone": zone, **json.loads(path.read_text())}))


Travelling = Callable[[datetime], Traveller]


@pytest.fixture
def travelling(tmp_path: Path) -> Iterator[Travelling]:
    """Yield a function that begins at a moment, with a sandbox of its own."""
    with ExitStack() as stack:

        def begin(moment: datetime) -> Traveller:
            clock = stack.enter_context(time_machine.travel(moment, tick=True))
            sandbox = stack.enter_context(running_sandbox(tmp_path / "sandbox", SMALL))
            return Traveller(stack.enter_context(open_place(tmp_path / "home", sandbox)), clock)

        yield begin


def evaluations(tick: Any) -> dict[str, tuple[bool, dg.AssetCheckSeverity]]:
    """Return the asset checks that a tick evaluated, each with its outcome and its severity if it fails."""
    return {event.check_name: (event.passed, event.severity) for event in tick.asset_events}
