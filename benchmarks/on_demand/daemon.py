"""Hundreds of videos through a real `dagster dev` with its sensors on: runs, CPU a hop, and the time from a provider's
success to the materialization; beside it, a run a hop through the same daemon's queue."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.context import Context, Home
from benchmarks.measure import ProgramFailedError
from benchmarks.on_demand.hop_times import HopTimes, hop_times, reported, spread
from benchmarks.on_demand.memory import Memory
from benchmarks.parts.dagster import is_reported
from benchmarks.report import Section, ratio
from benchmarks.services import cpu_of, dagster_dev, graphql
from benchmarks.upstream import upstream
from benchmarks.worlds import PROVIDERS, World, provider_keys, seeds, write_world, write_worlds
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.support.harness.charges import charge_book

if TYPE_CHECKING:
    from dagster import DagsterInstance

VIDEOS: Final = 500  # in equal parts of each provider
HOPS: Final = 2
RUN_TIME: Final = (45.0, 75.0)  # of a task (s)
IN_FLIGHT: Final = 40  # tasks of an account
SINGLE_RUNS: Final = 10
IDLE_S: Final = 20.0  # for which a Dagster with nothing to do is watched
UP_S: Final = 180.0  # within which Dagster must have started
RUN_S: Final = 120.0  # within which a run of one hop must have ended

_LAUNCH: Final = """
mutation ($job: JobOrPipelineSelector!, $tags: [ExecutionTag!]) {
  launchRun(executionParams: {selector: $job, runConfigData: {}, executionMetadata: {tags: $tags}}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}
"""


@dataclass(frozen=True)
class Batched:
    """What the sensors' own runs have cost: CPU (s) of all processes of Dagster for its start, for all hops, and for a
    second with nothing to do; the time (s) from the edit to the end of the last run; runs by job and end; peak
    memory."""

    start: float
    cpu: float
    idle: float
    wall: float
    runs: Counter[str]
    times: list[HopTimes]
    memory: list[list[str]]


def measure(context: Context) -> Section:
    """Measure the sensors' runs, then a run a hop."""
    each = max(1, context.scaled(VIDEOS) // len(PROVIDERS))
    hops = each * len(PROVIDERS) * HOPS
    section = Section(f"{each * len(PROVIDERS)} videos of {HOPS} hops through `dagster dev`")
    batched = _batched(context, each, hops)
    single, waits = _run_a_hop(context, min(SINGLE_RUNS, each))
    low, high = RUN_TIME
    section.note(
        f"{each} videos of each of {len(PROVIDERS)} accounts, which come with one edit to a Dagster that runs already. "
        f"Tasks of {low:g} to {high:g} s, {IN_FLIGHT} at a time in each account, polled as often as each provider's "
        f"accounts are by default; all sensors, and runs that end by themselves. Every hop was charged once."
    )
    hop = batched.cpu / hops
    by_time = batched.idle * batched.wall / hops
    runs = sum(batched.runs.values())
    section.table(
        ["", "hops", "runs", "CPU a hop", "of a run a hop"],
        [
            ["sensors and their runs", str(hops), str(runs), f"{hop:.3f} s", ratio(hop, single)],
            ["of it, by time", "–", "–", f"{by_time:.3f} s", ratio(by_time, single)],
            ["a run a hop", str(len(waits)), str(len(waits)), f"{single:.3f} s", "1.00"],
        ],
    )
    counted = ", ".join(f"{count} × {name}" for name, count in sorted(batched.runs.items()))
    section.note(
        f"CPU of all processes of Dagster, the start of runs included and its own start ({batched.start:.1f} s) not; "
        f"*by time*: what they cost with nothing to do ({batched.idle:.3f} s a second), for the {batched.wall:.0f} s "
        f"from the edit to the last materialization. Runs: {counted}. A run a hop: materializations of one partition "
        f"each, one after the other through the daemon's queue, without sensors; their tasks take no time."
    )
    section.table(["time", "median", "95 %", "longest"], _latencies(batched.times, waits))
    section.table(["peak memory of a process", "MB"], batched.memory)
    return section


def _latencies(times: list[HopTimes], waits: list[float]) -> list[list[str]]:
    """Return the rows of how long each step on the way to a materialization took."""
    rows = [
        ["the provider's success → seen by a poll", *spread([hop.seen - hop.made for hop in times])],
        ["seen → film stored", *spread([hop.stored - hop.seen for hop in times])],
        ["stored → materialization of `completed_extensions`", *spread([hop.completed - hop.stored for hop in times])],
        ["success → materialization of `extension_requests`", *spread([hop.request - hop.made for hop in times])],
        ["success → materialization of `completed_extensions`", *spread([hop.completed - hop.made for hop in times])],
    ]
    for account in PROVIDERS:
        rows.append([f"the same, {account}", *spread([h.completed - h.made for h in times if h.account == account])])
    return [*rows, ["a run a hop: its request → materialization of `completed_extensions`", *spread(waits)]]


def _batched(context: Context, each: int, hops: int) -> Batched:
    """Write the files of all accounts beside a Dagster that has ticked, and wait until all is reported."""
    home, state = context.home("daemon"), context.home("sandbox").settings.home
    first = {provider: each * number for number, provider in enumerate(PROVIDERS)}
    planted = [seed for provider in PROVIDERS for seed in seeds(provider, each, first=first[provider])]
    with (
        upstream(state, seeds=planted, run_time=RUN_TIME) as sandbox,
        dagster_dev(home, provider_keys()) as (pid, url),
        _instance(home) as instance,
    ):
        memory = Memory({"`dagster dev`": pid})
        memory.watch_until(lambda: _is_up(instance) and _has_ticked(instance), limit_s=UP_S)
        start, began = cpu_of(pid), time.monotonic()
        worlds = [
            World(name, each, sandbox.base_url, hops=HOPS, first=first[name], in_flight=IN_FLIGHT, default_poll=True)
            for name in PROVIDERS
        ]
        write_worlds(home.settings.home, worlds)
        with closing(open_ledger(home.settings.ledger_url)) as ledger:
            waves = -(-each * HOPS // IN_FLIGHT) + HOPS
            memory.watch_until(lambda: is_reported(ledger, url, hops), limit_s=120 + 2 * waves * RUN_TIME[1])
            wall, cpu = time.monotonic() - began, cpu_of(pid) - start
            time.sleep(IDLE_S)
            idle = (cpu_of(pid) - start - cpu) / IDLE_S
            _check_charges(sandbox, hops)
            runs = Counter(f"`{run.job_name}` {run.status.value.lower()}" for run in instance.get_runs())
            times = hop_times(sandbox, ledger, instance)
    return Batched(start, cpu, idle, wall, runs, times, memory.rows())


def _run_a_hop(context: Context, count: int) -> tuple[float, list[float]]:
    """Materialize so many videos of one hop, each by a run of its own. Return the CPU seconds of one, and how long each
    took from its request to its film's materialization."""
    from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS
    from extend_pipeline.dagster_defs.mount import VIDEOS as PARTITIONS

    home, state = context.home("daemon"), context.home("sandbox").settings.home
    with (
        upstream(state, seeds=seeds("kling", count)) as sandbox,
        dagster_dev(home, {}, module="benchmarks.without_sensors") as (pid, url),
        _instance(home) as instance,
    ):
        write_world(home.settings.home, "kling", count, sandbox.base_url)
        keys = [f"kling-v{number:05}" for number in range(count)]
        instance.add_dynamic_partitions(PARTITIONS, keys)
        Memory({"`dagster dev`": pid}).watch_until(lambda: _is_up(instance), limit_s=UP_S)
        before, asked = cpu_of(pid), {}
        for key in keys:
            asked[key] = time.time()
            _launch(url, instance, key)
        cpu = (cpu_of(pid) - before) / count
        _check_charges(sandbox, count)
        ended = reported(instance, COMPLETED_EXTENSIONS)
    if lacking := [key for key in keys if (key, 1) not in ended]:
        raise ProgramFailedError(f"no materialization of {', '.join(lacking)}")
    return cpu, [ended[key, 1] - asked[key] for key in keys]


def _launch(url: str, instance: DagsterInstance, key: str) -> None:
    """Let a run of its own take a video to its end. Raises ProgramFailedError where it doesn't."""
    from dagster import DagsterRunStatus

    assets = ("source_videos", "extension_requests", "completed_extensions")
    selector = {
        "repositoryName": "__repository__",
        "repositoryLocationName": "benchmarks.without_sensors",
        "jobName": "__ASSET_JOB",
        "assetSelection": [{"path": [name]} for name in assets],
        "assetCheckSelection": [],
    }
    tags = [{"key": "dagster/partition", "value": key}]
    launched = graphql(url, _LAUNCH, {"job": selector, "tags": tags})["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        raise ProgramFailedError(f"Dagster starts no run for {key}: {launched}")
    run_id, ends = launched["run"]["runId"], time.monotonic() + RUN_S
    while time.monotonic() < ends:
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status is DagsterRunStatus.SUCCESS:
            return
        if run is not None and run.is_finished:
            break
        time.sleep(0.25)
    raise ProgramFailedError(f"the run for {key} has not succeeded within {RUN_S:g} s")


@contextmanager
def _instance(home: Home) -> Iterator[DagsterInstance]:
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home.settings.home / "dagster")) as instance:
        yield instance


def _is_up(instance: DagsterInstance) -> bool:
    """Return whether each daemon has shown life."""
    return set(instance.get_required_daemon_types()) <= instance.get_daemon_heartbeats().keys()


def _has_ticked(instance: DagsterInstance) -> bool:
    """Return whether the poll sensor of each provider has ended a tick."""
    from dagster._core.scheduler.instigation import InstigatorType

    states = instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
    polls = [state for state in states if state.instigator_name.endswith("_poll_sensor")]
    ticks = [instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=10) for state in polls]
    return sum(any(tick.end_timestamp is not None for tick in each) for each in ticks) == len(PROVIDERS)


def _check_charges(sandbox: SandboxHandle, hops: int) -> None:
    """Raise ProgramFailedError unless each hop was charged once."""
    book = charge_book(sandbox)
    if len(book.charges) != hops or book.doubles:
        raise ProgramFailedError(f"{len(book.charges)} charges for {hops} hops, {len(book.doubles)} of them double")
