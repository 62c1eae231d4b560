"""When each hop was made, seen, stored and reported: as the sandbox, the ledger and Dagster's event log tell it."""

from __future__ import annotations

import statistics
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import ProgramFailedError
from benchmarks.report import seconds
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.support.harness.charges import attempts_in

if TYPE_CHECKING:
    from dagster import AssetKey, AssetMaterialization, DagsterInstance

PAGE: Final = 500  # events that are read at a time

Hop = tuple[str, int]
"""A video's key and the number of one of its hops."""


@dataclass(frozen=True)
class HopTimes:
    """When the task of a hop ended at the provider, when a poll saw that, when its film was stored, and when Dagster
    had a materialization of its request's end and of its film (UTC s)."""

    account: str
    made: float
    seen: float
    stored: float
    request: float
    completed: float


def hop_times(sandbox: SandboxHandle, ledger: Ledger, instance: DagsterInstance) -> list[HopTimes]:
    """Return the times of every hop. Raises ProgramFailedError where Dagster lacks one."""
    from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS, EXTENSION_REQUESTS

    made = {task["task_id"]: task["done_ms"] / 1000 for task in sandbox.tasks()}
    requests, completed = (reported(instance, asset) for asset in (EXTENSION_REQUESTS, COMPLETED_EXTENSIONS))
    times = []
    for attempt in attempts_in(ledger):
        hop = attempt.video_key, attempt.hop
        if hop not in requests or hop not in completed:
            raise ProgramFailedError(f"Dagster has no materialization of {hop[0]}/{hop[1]}")
        moments = attempt.completed_at / 1000, attempt.stored_at / 1000, requests[hop], completed[hop]
        times.append(HopTimes(attempt.account, made[attempt.task_id], *moments))
    return times


def reported(instance: DagsterInstance, asset: AssetKey) -> dict[Hop, float]:
    """Return when Dagster had the first materialization of an asset that shows the end of a hop (UTC s)."""
    first: dict[Hop, float] = {}
    cursor, more = None, True
    while more:
        page = instance.fetch_materializations(asset, PAGE, cursor=cursor, ascending=True)
        cursor, more = page.cursor, page.has_more
        for record in page.records:
            event = record.asset_materialization
            if event is not None and event.partition is not None:
                for hop in range(1, _ended(event) + 1):
                    first.setdefault((event.partition, hop), record.timestamp)
    return first


def _ended(event: AssetMaterialization) -> int:
    """Return how many hops of its video have ended, as a materialization shows it."""
    values: dict[str, Any] = {name: entry.value for name, entry in event.metadata.items()}
    is_open = "charge" in values and values["state"] != "succeeded"  # only a request tells its charge
    return int(values["hop"]) - is_open


def spread(values: Collection[float]) -> list[str]:
    """Return the cells for some durations (s): median, 95 % and the longest."""
    ordered = sorted(values)
    most = ordered[round(0.95 * (len(ordered) - 1))]
    return [seconds(each) for each in (statistics.median(ordered), most, ordered[-1])]
