"""A home in a time zone of its own, against the sandbox: its day turns at its own midnight, and a change of the zone in
mid-day buys nothing more, as the sandbox's charges prove."""

from __future__ import annotations

import json
from datetime import datetime

import pytest
from sqlalchemy import select

from extend_pipeline.base.units import to_ms
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline, wall_ms
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Blocker
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.publish import publish_last
from extend_pipeline.engine.status import accounts_now
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account
from extend_pipeline_tests.support.ledger.reckoning import reckon

EVENING = to_ms(datetime.fromisoformat("2030-11-28T15:30:00+00:00"))  # half an hour before midnight in Shanghai


def set_zone(home: EngineHome, zone: str | None) -> None:
    """Write accounts.yaml with a budget of two steps a day, and a time zone."""
    account_entry = account(home.sandbox.base_url, budget={"per_day": 4, "total": 100})
    document = {"accounts": [account_entry]} | ({} if zone is None else {"timezone": zone})
    (home.path / "accounts.yaml").write_text(json.dumps(document), encoding="utf-8")


def charges(home: EngineHome) -> int:
    return len(home.sandbox.charges()["charges"])


def waiting(pipeline: Pipeline) -> list[Blocker]:
    """Return the blockers of the videos that wait for another day."""
    held = [video.blocker for video in plan(plan_input(pipeline)).videos if video.blocker is not None]
    return [blocker for blocker in held if blocker.reason is BlockReason.DAY_BUDGET]


@pytest.mark.parametrize("zone", ["Asia/Shanghai", None])
def test_the_days_budget_turns_at_the_homes_own_midnight(home: EngineHome, zone: str | None) -> None:
    home.seeded(5)
    set_zone(home, zone)
    clock = JumpClock(EVENING - wall_ms())
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        assert charges(home) == 2
        midnight = "2030-11-28T16:00:00+00:00" if zone else "2030-11-29T00:00:00+00:00"
        assert {blocker.until_ms for blocker in waiting(pipeline)} == {to_ms(datetime.fromisoformat(midnight))}
        clock.skip(40 * 60_000)
        advance(pipeline, publish=False)
        assert charges(home) == (4 if zone else 2)
        publish_last(pipeline)
        days = query(pipeline.settings.warehouse_path, "SELECT day, timezone, attempts FROM cost_by_day").rows
        rows = [(str(day), day_zone, attempts) for day, day_zone, attempts in days]
        if zone:
            assert rows == [("2030-11-28", zone, 2), ("2030-11-29", zone, 2)]
        else:
            assert rows == [("2030-11-28", "UTC", 2)]
        reckon(home, pipeline.ledger)


@pytest.mark.parametrize(("before", "after"), [("UTC", "Asia/Shanghai"), ("Asia/Shanghai", "UTC")])
def test_a_zone_that_is_changed_in_mid_day_buys_nothing_more(home: EngineHome, before: str, after: str) -> None:
    home.seeded(5)
    set_zone(home, before)
    clock = JumpClock(EVENING - wall_ms())
    with home.open(clock) as pipeline:
        clock.skip(40 * 60_000)  # 16:10 in UTC is ten minutes past midnight in Shanghai
        advance(pipeline, publish=False)
        assert charges(home) == 2
        set_zone(home, after)  # while it runs
        for _ in range(3):
            clock.skip(60_000)
            advance(pipeline, publish=False)
        assert charges(home) == 2
        (account_now,) = accounts_now(pipeline)
        assert account_now.other_days == (("2030-11-28",) if before == "UTC" else ("2030-11-29[Asia/Shanghai]",))
        assert account_now.committed_today == 4
        assert len(waiting(pipeline)) == 3
        clock.skip(48 * 3_600_000)
        advance(pipeline, publish=False)
        assert charges(home) == 4
        reckon(home, pipeline.ledger)


def test_a_home_without_a_zone_names_its_days_in_utc(home: EngineHome) -> None:
    home.seeded(1)
    with home.open(JumpClock(EVENING - wall_ms())) as pipeline:
        advance(pipeline, publish=False)
        with pipeline.ledger.read() as connection:
            attempts, days = tables.attempts.c.budget_day, tables.account_days.c.day
            assert set(connection.execute(select(attempts)).scalars()) == {"2030-11-28"}
            assert set(connection.execute(select(days)).scalars()) == {"2030-11-28"}
