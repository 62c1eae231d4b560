"""A real Dagster with a partition for each of many videos, as `make dev` starts it: what the ticks of each sensor take,
the memory of its processes, and how long an asset's page takes in a browser."""

from __future__ import annotations

import shutil
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from benchmarks.context import Context, Home
from benchmarks.generate.build import Wanted, build_home
from benchmarks.generate.home import video_key, write_accounts
from benchmarks.measure import ProgramFailedError, probe, run_cli
from benchmarks.on_demand.memory import Memory
from benchmarks.report import Section, seconds
from benchmarks.services import ROOT, dagster_environment, program, service
from benchmarks.upstream import upstream
from extend_pipeline.engine.home import open_home, wall_ms
from extend_pipeline_tests.support.servers.ports import free_port

if TYPE_CHECKING:
    from dagster import DagsterInstance

IN_FLIGHT: Final = 50
POLL_EVERY_S: Final = 10
RUNS_FOR_S: Final = 86_400  # no task ends while it is measured
ASSET: Final = "completed_extensions"
KEY: Final = r"^v\d{7}$"
PAGE_S: Final = 120.0  # after which an opening of the page is given up


def measure(context: Context) -> Section:
    """Start Dagster on a home with the most videos of the run, wait for its partitions, and watch it."""
    videos = max(context.sizes)
    in_flight = min(IN_FLIGHT, videos)
    home, state = context.home("partitions"), context.home("sandbox").settings.home
    wanted = Wanted(
        videos=videos,
        hops=context.hops,
        open_videos=in_flight,
        now_ms=wall_ms(),
        sandbox=state,
        runs_for_s=RUNS_FOR_S,
    )
    build_home(home.settings, wanted)
    section = Section(f"{videos:,} videos in Dagster, {in_flight} attempts in flight ({context.database})")
    with upstream(state) as sandbox:
        write_accounts(home.settings.home, 1, url=sandbox.base_url, every=POLL_EVERY_S)
        run_cli(home.environment, "advance", limit_s=10 * context.limit_s)
        environment = dagster_environment(home)
        with _instance(environment) as instance:
            _report_all(instance, home, videos)
            with _dagster(home, environment) as (url, memory):
                _watch(context, section, instance, memory, url, videos)
    return section


def _watch(
    context: Context, section: Section, instance: DagsterInstance, memory: Memory, url: str, videos: int
) -> None:
    from extend_pipeline.dagster_defs.mount import VIDEOS

    began, first = time.monotonic(), time.time()
    last = video_key(videos - 1)
    memory.watch_until(lambda: instance.has_dynamic_partition(VIDEOS, last), limit_s=300 + videos / 10)
    if len(instance.get_dynamic_partitions(VIDEOS)) != videos:
        raise ProgramFailedError("some videos have no partition, though the last one has")
    added = time.monotonic() - began
    section.note(
        f"The home has been worked on, and all was reported to the instance, which knows no partition at first. Every "
        f"video had its partition {added:.0f} s after the start. Ticks of the {context.watch_s:g} s after that, tasks "
        f"polled every {POLL_EVERY_S} s:"
    )
    since, ends = time.time(), time.monotonic() + context.watch_s
    page = _page(url)
    memory.watch_until(lambda: time.monotonic() > ends, limit_s=2 * context.watch_s)
    columns = ["", "ticks", "median", "longest", "failed"]
    section.table(columns, _ticks(instance, section, since, None))
    section.note("The ticks before, while partitions were added:")
    section.table(columns, _ticks(instance, section, first, since))
    section.table(["peak memory", "MB"], memory.rows())
    runs = Counter(run.status.value for run in instance.get_runs())
    counted = ", ".join(f"{count} {status.lower()}" for status, count in sorted(runs.items()))
    shown = ", ".join(seconds(opening, limit_s=PAGE_S) for opening in page)
    section.note(f"Runs: {counted or 'none'}.")
    section.note(
        f"Page of `{ASSET}` with its partitions, until a key is shown, each time in a new session: "
        f"{shown or 'not measured, since no Chromium is installed'}."
    )


def _page(url: str) -> list[float]:
    """Return how long the asset's page takes (s), the first time and again; nothing without a browser."""
    browser = shutil.which("chromium")
    if browser is None:
        return []
    address = f"{url}/assets/{ASSET}?view=partitions"
    _, measured = probe("page", {}, browser, address, KEY, str(PAGE_S))
    return list(measured.get("seconds", ()))


def _ticks(instance: DagsterInstance, section: Section, after: float, before: float | None) -> list[list[str]]:
    """Return a row for each sensor; note what the first failure of each was."""
    rows = []
    for state in sorted(instance.all_instigator_state(), key=lambda state: state.instigator_name):
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, after=after, before=before)
        lasted = [tick.end_timestamp - tick.timestamp for tick in ticks if tick.end_timestamp is not None]
        failed = [tick for tick in ticks if tick.status.value == "FAILURE"]
        if lasted:
            cells = [seconds(statistics.median(lasted)), seconds(max(lasted)), str(len(failed))]
            rows.append([f"`{state.instigator_name}`", str(len(lasted)), *cells])
        if failed and failed[0].error is not None:
            section.note(f"`{state.instigator_name}` failed: {failed[0].error.message.strip()[:300]}")
    return rows


@contextmanager
def _instance(environment: dict[str, str]) -> Iterator[DagsterInstance]:
    from dagster import DagsterInstance

    with DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
        yield instance


def _report_all(instance: DagsterInstance, home: Home, videos: int) -> None:
    """Leave in the instance what earlier runs would have reported: every video of each asset, up to the ledger's last
    event."""
    from benchmarks.probes.recorder import keep_last_event

    with open_home(home.settings, works=False) as pipeline:
        keep_last_event(instance, pipeline)
    copy = text(
        "INSERT INTO event_logs (run_id, event, dagster_event_type, timestamp, asset_key, partition) "
        "SELECT run_id, replace(event, partition, :key), dagster_event_type, timestamp, asset_key, :key "
        "FROM event_logs WHERE id = :id"
    )
    storage: Any = instance.event_log_storage  # the default one, on SQLite
    with storage.index_connection() as connection:  # one by one they would take minutes
        reported = connection.execute(text("SELECT id, partition FROM event_logs WHERE partition IS NOT NULL")).all()
        keys = [video_key(number) for number in range(videos)]
        for event, first in reported:
            connection.execute(copy, [{"id": event, "key": key} for key in keys if key != first])


@contextmanager
def _dagster(home: Home, environment: dict[str, str]) -> Iterator[tuple[str, Memory]]:
    """Run webserver and daemon, each with a code server of its own, until the end of the block."""
    port, folder = free_port(), home.settings.home
    url, workspace = f"http://127.0.0.1:{port}", ["-w", str(ROOT / "workspace.yaml")]
    webserver = [program("dagster-webserver"), "-h", "127.0.0.1", "-p", str(port), *workspace]
    daemon = [program("dagster-daemon"), "run", *workspace]
    with (
        service(webserver, environment, log=folder / "webserver.log", ready=f"{url}/server_info") as webserver_pid,
        service(daemon, environment, log=folder / "daemon.log") as daemon_pid,
    ):
        yield url, Memory({"daemon": daemon_pid, "webserver": webserver_pid})
