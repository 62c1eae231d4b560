"""Failed runs of a mount's own jobs and assets, read from Dagster's storage in the order of their ends."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import dagster as dg

from extend_pipeline.alerts.message import MAX_LINE, FailedRun, timestamp
from extend_pipeline.base.scrub import scrub

MAX_EVENTS: Final = 200  # that are read at once; the rest follows in the next tick
_FAILED: Final = dg.DagsterEventType.RUN_FAILURE


@dataclass(frozen=True, slots=True)
class Own:
    """What runs of a mount are known by: the names of its jobs, and its assets, which jobs of others may run too."""

    jobs: Collection[str]
    assets: Collection[dg.AssetKey]

    def has(self, run: dg.DagsterRun) -> bool:
        """Return whether a run is of the mount."""
        checked = (check.asset_key for check in run.asset_check_selection or ())
        return run.job_name in self.jobs or any(key in self.assets for key in (*(run.asset_selection or ()), *checked))


def newest_failure(instance: dg.DagsterInstance) -> int:
    """Return the place of the newest failure of any run in Dagster's storage; 0 if there is none."""
    records = instance.fetch_run_status_changes(_FAILED, limit=1).records
    return records[0].storage_id if records else 0


def failures_after(
    instance: dg.DagsterInstance, own: Own, after: int, *, url: str | None
) -> tuple[list[FailedRun], int]:
    """Return the failed runs of a mount after a place in Dagster's storage, and the place up to which was read.
    `url` is the address of Dagster's web page."""
    newer = dg.RunStatusChangeRecordsFilter(_FAILED, after_storage_id=after)
    records = instance.fetch_run_status_changes(newer, limit=MAX_EVENTS, ascending=True).records
    if not records:
        return [], min(after, newest_failure(instance))  # runs were removed, and their places are used again
    entries = {record.run_id: record.event_log_entry for record in records}
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=list(entries)))}
    failed = [
        FailedRun(
            run_id=run_id,
            job=entry.job_name or "",
            error=_error(entry),
            ended_at=timestamp(entry.timestamp),
            url=None if url is None else f"{url}/runs/{run_id}",
        )
        for run_id, entry in entries.items()
        if (run := runs.get(run_id)) is not None
        and run.status is not dg.DagsterRunStatus.SUCCESS  # it was taken for gone, and has ended well after that
        and own.has(run)
    ]
    return failed, records[-1].storage_id


def first_line(text: str) -> str:
    """Return the first line of an error without secrets, and the next where that is only a head."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return scrub(" ".join(lines[: 2 if lines and lines[0].endswith(":") else 1]), cap=MAX_LINE)


def _error(entry: dg.EventLogEntry) -> str:
    """Return the first line of a run's error: of the step that failed first, or why there was none."""
    event = entry.dagster_event
    data = None if event is None else event.job_failure_data
    step = None if data is None else data.first_step_failure_event
    text = entry.user_message or (event.message if event else "") or ""
    if step is not None:
        failure = step.step_failure_data
        description = failure.user_failure_data.description if failure.user_failure_data else None
        error = failure.error.cause or failure.error if failure.error else None
        text = description or (error.message if error else "") or text
    elif data is not None and data.error is not None:
        text = (data.error.cause or data.error).message
    return first_line(text)
