"""Signs of life of runs, in Dagster's own storage. Dagster learns that a run's process is gone from the code server
that started it; where that is gone too (a restarted machine or container), the run would stay in progress for hours,
and hold back the next one."""

import json
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import dagster as dg
from dagster import DagsterRunStatus

from extend_pipeline.engine.polling.renewer import RENEWALS_A_LEASE, Renewer
from extend_pipeline.engine.polling.schedule import MAX_LEASE_S

SIGNS_KEY: Final = "extend_pipeline/alive"
"""In Dagster's storage: a JSON object of run ids, each with the time (s) of its last sign of life."""

SILENCE_S: Final = 60.0
"""Without a sign for so long, a run's process is gone."""

SIGN_EVERY_S: Final = 10.0  # so that a few signs may be late

UNCHANGED_S: Final = 2 * SIGN_EVERY_S
"""For so long, by its own monotonic clock, a process must have seen the same old sign before it ends a run: after a
computer has slept, or beside one with another clock, a sign is old though the run goes on."""


NO_SIGN_S: Final = 600.0
"""From its start on, the longest time in which a run gives its first sign. Long, because a step may wait for a new
machine."""

CANCEL_S: Final = 30.0
"""For so long the next run waits for the end of one that is being canceled."""

STARTED: Final = (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED)
UNFINISHED: Final = (DagsterRunStatus.QUEUED, *STARTED, DagsterRunStatus.CANCELING)

_look: Final = threading.Lock()
"""Held by the sensor that looks, because the sensors of a code location tick together, and a run is ended once."""

_seen: Final[dict[str, dict[tuple[str, float | None], float]]] = {}
"""By the job that is looked for: when this process saw a sign (run id, time), or that a started run has none, for the
first time (monotonic s)."""

_over: Final[dict[str, threading.Event]] = {}
"""For each run of this process: set once Dagster has it as finished."""


@contextmanager
def showing_life(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Give a sign of life every few seconds until the block ends. A storage that can't be written fails no run."""
    over = _over.setdefault(run_id, threading.Event())

    def sign(_: object) -> None:
        _write(instance, {**_signs(instance), run_id: time.time()})
        run = instance.get_run_by_id(run_id)
        if run is not None and run.is_finished:
            over.set()

    with suppress(Exception):
        sign(None)
    renewer = Renewer(lease_s=SIGN_EVERY_S * RENEWALS_A_LEASE, renew=sign)
    try:
        with renewer.holding([run_id]):
            yield
    finally:
        renewer.close()
        _over.pop(run_id, None)
        with suppress(Exception):
            _forget(instance, [run_id])


def over(run_id: str) -> threading.Event:
    """Return the event that is set when a run of this process was ended by others. Its work should end then, because
    another run goes on with it."""
    return _over.get(run_id) or threading.Event()


def unfinished_runs(
    instance: dg.DagsterInstance, job_name: str, *, now_s: float | None = None, monotonic_s: float | None = None
) -> Sequence[dg.DagsterRun]:
    """Return the runs of a job that are queued or in progress, after those whose process is gone were ended. Of other
    jobs those are ended too, because they would hold their slots. `now_s` is the time (UTC s), `monotonic_s` that of a
    monotonic clock; None: the clocks'."""
    now_s = time.time() if now_s is None else now_s
    monotonic_s = time.monotonic() if monotonic_s is None else monotonic_s
    with _look:
        signs = _signs(instance)
        started = instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=list(STARTED)))
        without = [(record.dagster_run.run_id, None) for record in started if record.dagster_run.run_id not in signs]
        before = _seen.get(job_name, {})
        known = {looked_at: before.get(looked_at, monotonic_s) for looked_at in (*signs.items(), *without)}
        _seen[job_name] = known
        # a sign that is gone may be that of a run whose end is being written
        lacking = {run_id for run_id, _ in without if monotonic_s - known[run_id, None] >= UNCHANGED_S}
        silent = {run_id for run_id, at_s in signs.items() if abs(now_s - at_s) > SILENCE_S}  # clocks may be set back
        for run in instance.get_runs(dg.RunsFilter(run_ids=[*silent])) if silent else ():
            if not run.is_finished and monotonic_s - known[run.run_id, signs[run.run_id]] < UNCHANGED_S:
                silent.remove(run.run_id)
            elif not run.is_finished:
                _end(instance, run, f"its process has given no sign of life for {SILENCE_S:g} s")
        if silent:
            _forget(instance, silent)
        records = instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=list(UNFINISHED)))
        return [record.dagster_run for record in records if not _end_if_stuck(instance, record, lacking, now_s)]


def _end_if_stuck(instance: dg.DagsterInstance, record: dg.RunRecord, lacking: Collection[str], now_s: float) -> bool:
    """End a run that is stuck, and return whether it was. `lacking` are the started runs without a sign."""
    run, age_s = record.dagster_run, now_s - record.update_timestamp.timestamp()
    if run.status is DagsterRunStatus.CANCELING and age_s > CANCEL_S:
        _end(instance, run, f"it was canceled, and has not ended within {CANCEL_S:g} s")
    elif run.run_id in lacking and age_s > NO_SIGN_S:
        _end(instance, run, f"its process has given no sign of life within {NO_SIGN_S:g} s of its start")
    else:
        return False
    return True


def _end(instance: dg.DagsterInstance, run: dg.DagsterRun, reason: str) -> None:
    message = (
        f"This run is over: {reason}. Nothing is lost: the ledger holds what was paid for, and the next run continues "
        f"with it. A result that the process was fetching is fetched again once its lease of {MAX_LEASE_S:g} s ends."
    )
    if run.status is DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(run, message)


def _signs(instance: dg.DagsterInstance) -> dict[str, float]:
    text = instance.daemon_cursor_storage.get_cursor_values({SIGNS_KEY}).get(SIGNS_KEY)
    return {} if text is None else dict(json.loads(text))


def _write(instance: dg.DagsterInstance, signs: dict[str, float]) -> None:
    instance.daemon_cursor_storage.set_cursor_values({SIGNS_KEY: json.dumps(signs)})


def _forget(instance: dg.DagsterInstance, run_ids: Collection[str]) -> None:
    """Drop runs from the signs. A sign of another run that is written at the same moment may be lost; its next one
    comes soon."""
    _write(instance, {run_id: at_s for run_id, at_s in _signs(instance).items() if run_id not in run_ids})
