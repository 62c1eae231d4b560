"""Six processes advance one home for a minute while they are killed, stopped past their leases and lied to, with all
four providers: nothing is paid twice, nothing that was paid is lost, no budget is passed, and the history tells all."""

from __future__ import annotations

import random
from typing import Final

import pytest

from extend_pipeline.base.units import to_micros
from extend_pipeline_tests.chaos.homes import ACCOUNTS, CAPPED, CAPPED_TOTAL, LUMA_A_DAY, storm_accounts
from extend_pipeline_tests.chaos.naive.run import run_naive
from extend_pipeline_tests.chaos.processes.worker_pool import PAST_THE_LEASE
from extend_pipeline_tests.chaos.run import Chaos, run_chaos, working_folder
from extend_pipeline_tests.chaos.table import chaos_table, naive_table

SECONDS: Final = 60.0
NAIVE_SECONDS: Final = 15.0


@pytest.mark.timeout(500)
def test_a_storm_of_a_minute_costs_nothing_twice_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    with capsys.disabled():
        print(f"\nchaos: seed {seed}", flush=True)
    with working_folder() as folder:
        run = run_chaos(folder, f"sqlite:///{folder}/home/state/ledger.sqlite", seed=seed, seconds=SECONDS)
    with capsys.disabled():
        print(chaos_table(run), flush=True)
    promises_hold(run)
    # floors: a storm that hardly blew proves nothing
    assert run.counters.kills + run.counters.stops >= 300
    assert run.counters.kills >= 100
    assert run.counters.counts[PAST_THE_LEASE] >= 20
    assert run.counters.faults.total() >= 60
    assert run.end.charges >= 500
    assert len(run.checks) >= 3
    assert max(most for (name, _), most in run.storm_peaks.day.items() if name == "luma") == to_micros(LUMA_A_DAY)


def promises_hold(run: Chaos) -> None:
    """What must be, however much was done."""
    assert run.end.doubles == 0
    assert (run.end.lost, run.end.late) == ((), ())
    assert [check for check in run.checks if check.doubles or check.lost] == []
    assert set(run.end.settled) == set(ACCOUNTS)
    assert all(settled == charged for settled, charged in run.end.settled.values()), run.end.settled
    for account in storm_accounts(""):
        name, budget = account["name"], account["budget"]
        assert run.peaks.total[name] <= to_micros(budget["total"])
        assert run.peaks.in_flight[name] <= account["max_in_flight"]
        before = [most for (who, _), most in run.storm_peaks.day.items() if who == name]
        assert max(before) <= to_micros(budget["per_day"]), name
        assert run.peaks.exposed[name] <= to_micros(budget.get("in_doubt", budget["per_day"])), name
    assert run.peaks.total[CAPPED] == to_micros(CAPPED_TOTAL)  # a cap that nothing came near to was not tested
    for video in run.waiting:
        assert video.blocker is not None, video
        assert video.blocker.reason.needs_person, video
    assert run.events > 1_000


@pytest.mark.timeout(180)
def test_the_same_storm_makes_a_naive_client_pay_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with working_folder() as folder:
        run = run_naive(folder, seed=random.SystemRandom().randrange(1_000_000), seconds=NAIVE_SECONDS)
    with capsys.disabled():
        print("\n" + naive_table(run), flush=True)
    assert run.counters.kills + run.counters.stops >= 40
    assert run.end.charges >= 100
    assert run.end.doubles > 0
    assert len(run.end.lost) > 0
