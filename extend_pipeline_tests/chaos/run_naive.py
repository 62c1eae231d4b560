"""The same storm over the naive client: the same signals, the same faults, the same books."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from extend_pipeline_tests.chaos.counting import Count, count
from extend_pipeline_tests.chaos.crew import Tally, crew, tail
from extend_pipeline_tests.chaos.homes import storm_sandbox
from extend_pipeline_tests.chaos.naive import extend_for_ever, recorded_submissions, sources
from extend_pipeline_tests.chaos.storm import storm
from extend_pipeline_tests.chaos.weather import Weather
from extend_pipeline_tests.chaos.workers import CREW, Orders, sandbox_process
from extend_pipeline_tests.support.harness.charges import charge_book

VIDEOS = 40 * CREW


@dataclass
class Naive:
    """What a run showed."""

    seed: int
    seconds: float
    tally: Tally
    end: Count


def run_naive(folder: Path, *, seed: int, seconds: float) -> Naive:
    """A storm, and the count of what was paid twice and what was paid and is not known."""
    weather = Weather(random.Random(seed))
    with sandbox_process(folder / "sandbox", storm_sandbox(seed)) as sandbox:
        sandbox.seed(sources(VIDEOS))
        database = folder / "naive.sqlite"
        settings = {"base_url": sandbox.base_url, "database": str(database), "videos": VIDEOS}
        orders = Orders(settings, {}, folder / "storm.txt", folder / "over")
        with crew(weather, [extend_for_ever] * CREW, orders, armed=False) as made:
            storm(made, sandbox, seconds=seconds)
            made.calm_down()
        assert made.tally.broken == [], f"{made.tally.broken}: {tail(orders.output)}"
        return Naive(seed, seconds, made.tally, count(charge_book(sandbox), recorded_submissions(database)))
