"""Run the same storm over the naive client, with the same signals, faults and count of charges."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from extend_pipeline_tests.chaos.counting import Count, count
from extend_pipeline_tests.chaos.homes import storm_sandbox
from extend_pipeline_tests.chaos.naive.client import extend_for_ever, recorded_submissions, sources
from extend_pipeline_tests.chaos.processes.fault_schedule import FaultSchedule
from extend_pipeline_tests.chaos.processes.storm import storm
from extend_pipeline_tests.chaos.processes.worker_pool import Counters, tail, worker_pool
from extend_pipeline_tests.chaos.processes.workers import WORKERS, Orders, sandbox_process
from extend_pipeline_tests.support.harness.charges import charge_book

VIDEOS = 40 * WORKERS


@dataclass
class Naive:
    """What a run showed."""

    seed: int
    seconds: float
    counters: Counters
    end: Count


def run_naive(folder: Path, *, seed: int, seconds: float) -> Naive:
    """A storm, and the count of what was paid twice and what was paid and is not known."""
    schedule = FaultSchedule(random.Random(seed))
    with sandbox_process(folder / "sandbox", storm_sandbox(seed)) as sandbox:
        sandbox.seed(sources(VIDEOS))
        database = folder / "naive.sqlite"
        settings = {"base_url": sandbox.base_url, "database": str(database), "videos": VIDEOS}
        orders = Orders(settings, {}, folder / "storm.txt", folder / "over")
        with worker_pool(schedule, [extend_for_ever] * WORKERS, orders, armed=False) as made:
            storm(made, sandbox, seconds=seconds)
            made.calm_down()
        assert made.counters.broken == [], f"{made.counters.broken}: {tail(orders.output)}"
        return Naive(seed, seconds, made.counters, count(charge_book(sandbox), recorded_submissions(database)))
