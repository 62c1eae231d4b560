"""Budgets of a day in a home's time zone: days of 23 and 25 hours, and a change of the zone in mid-day, which gives no
new budget."""

from __future__ import annotations

from datetime import datetime
from itertools import cycle
from pathlib import Path

import pytest
from sqlalchemy import select

from extend_pipeline.base.days import day_bounds
from extend_pipeline.base.units import to_ms
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.projection.replay import differences, replay
from extend_pipeline.ledger.read import budget_days
from extend_pipeline.ledger.spending_rules import BlockReason, BudgetLimits
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import late_acceptance, reconciliation
from extend_pipeline.ledger.write.reconciliation import UnmatchedTask
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline_tests.support.ledger.steps import claim, move, request, send

S = AttemptState
ACCOUNT, HOUR_MS = "kling-main", 3_600_000


def ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


def caps(zone: str, *, steps: int = 1) -> dict[str, BudgetLimits]:
    """Return caps for `steps` steps of two units a day, in a zone."""
    return {ACCOUNT: BudgetLimits(steps * 2_000_000, 2_000_000_000, 1_000, 2_000_000_000, zone)}


def spend(ledger: Ledger, video: str, at: str | int, zone: str, *, steps: int = 1) -> BlockReason | None:
    """Claim a step of two units; return the reason of a refusal, or None."""
    now_ms = at if isinstance(at, int) else ms(at)
    refused = claim(ledger, request(video), now_ms=now_ms, caps=caps(zone, steps=steps)).refused
    return refused[0].reason if refused else None


def today(ledger: Ledger, at: str, zone: str) -> budget_days.Today:
    with ledger.read() as connection:
        return budget_days.committed(connection, ms(at), zone=zone).get(ACCOUNT, budget_days.Today())


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2026-03-29[Europe/Berlin]", 23), ("2026-10-25[Europe/Berlin]", 25), ("2026-11-28[Asia/Shanghai]", 24)],
)
def test_a_budget_holds_from_midnight_to_midnight_of_the_zone(
    ledger: Ledger, tmp_path: Path, day: str, hours: int
) -> None:
    begins, ends = day_bounds(day)
    zone = day.partition("[")[2].removesuffix("]")
    assert ends - begins == hours * HOUR_MS
    assert spend(ledger, "before", begins - 1, zone) is None
    assert spend(ledger, "first", begins, zone) is None
    for number, at in enumerate((begins + 1, begins + 12 * HOUR_MS, ends - 1)):
        assert spend(ledger, f"more{number}", at, zone) is BlockReason.DAY_BUDGET
    assert spend(ledger, "after", ends, zone) is None
    with ledger.read() as connection:
        days = list(connection.execute(select(tables.attempts.c.budget_day).order_by(tables.attempts.c.claimed_at)))
    assert days[1] == (day,)
    assert len(set(days)) == 3
    assert check_invariants(ledger) == []
    again = open_ledger(f"sqlite:///{tmp_path}/again.sqlite")
    replay(ledger, again)
    assert differences(ledger, again) == []
    again.close()


@pytest.mark.parametrize(
    ("before", "after", "at"),
    [
        ("UTC", "Pacific/Kiritimati", "2026-11-28T10:00+00:00"),  # where a day has just begun
        ("UTC", "Asia/Shanghai", "2026-11-28T16:30+00:00"),
        ("Asia/Shanghai", "UTC", "2026-11-28T16:30+00:00"),  # back to a day whose budget was not touched
        ("Asia/Shanghai", "America/Los_Angeles", "2026-11-28T16:30+00:00"),
        ("America/Los_Angeles", "Asia/Shanghai", "2026-11-28T16:30+00:00"),
        ("Europe/Berlin", "Europe/Paris", "2026-11-28T16:30+00:00"),  # the same days by another name
    ],
)
def test_a_change_of_the_zone_opens_no_budget_anew(ledger: Ledger, before: str, after: str, at: str) -> None:
    now_ms = ms(at)
    assert spend(ledger, "a", now_ms, before) is None
    assert spend(ledger, "b", now_ms + 60_000, after) is BlockReason.DAY_BUDGET
    committed = today(ledger, at, after)
    assert committed.micros == 2_000_000
    assert [day.partition("[")[2].removesuffix("]") or "UTC" for day in committed.other_days] == [before]
    # and what is spent after it is not spent again by changing back
    assert spend(ledger, "c", now_ms + 120_000, after, steps=2) is None
    assert spend(ledger, "d", now_ms + 180_000, before, steps=2) is BlockReason.DAY_BUDGET
    assert spend(ledger, "e", now_ms + 49 * HOUR_MS, after) is None, "at the latest after two days all is as ever"
    assert today(ledger, "2026-12-02T00:00+00:00", after).other_days == ()
    assert check_invariants(ledger) == []


def test_changing_the_zone_every_hour_gives_no_more_budgets_than_days(ledger: Ledger) -> None:
    zones = cycle(
        ["Pacific/Kiritimati", "Pacific/Auckland", "Asia/Shanghai", "UTC", "America/New_York", "Pacific/Pago_Pago"]
    )
    begin = ms("2026-11-28T00:00+00:00")
    hours = [hour for hour in range(72) if spend(ledger, f"v{hour}", begin + hour * HOUR_MS, next(zones)) is None]
    assert len(hours) <= 3 + 1, "three days reach into four"


def test_a_reservation_released_on_a_day_of_the_old_zone_may_be_spent(ledger: Ledger) -> None:
    (attempt,) = claim(ledger, request("a"), now_ms=ms("2026-11-28T10:00+00:00"), caps=caps("UTC")).claimed
    move(ledger, attempt.attempt_id, S.RELEASED, now_ms=ms("2026-11-28T10:01+00:00"))
    assert today(ledger, "2026-11-28T11:00+00:00", "Asia/Shanghai") == budget_days.Today()
    assert spend(ledger, "b", "2026-11-28T11:00+00:00", "Asia/Shanghai") is None


def test_a_clock_that_is_ahead_costs_no_other_day_of_the_zone_its_budget(ledger: Ledger) -> None:
    zone = "Asia/Shanghai"
    (right,) = claim(ledger, request("a"), now_ms=ms("2026-11-28T02:00+00:00"), caps=caps(zone, steps=9)).claimed
    move(ledger, right.attempt_id, S.RELEASED, now_ms=ms("2026-11-28T02:00+00:00"))
    assert spend(ledger, "b", "2026-12-09T02:00+00:00", zone) is None
    assert today(ledger, "2026-11-28T03:00+00:00", zone).micros == 2_000_000
    assert spend(ledger, "c", "2026-11-28T03:00+00:00", zone) is BlockReason.DAY_BUDGET
    assert spend(ledger, "d", "2026-11-28T15:59+00:00", zone, steps=2) is None
    assert spend(ledger, "e", "2026-11-28T16:00+00:00", zone) is None


def test_an_adopted_task_counts_for_the_zones_day_on_which_it_was_created(ledger: Ledger) -> None:
    (attempt,) = claim(ledger, request("a"), now_ms=ms("2026-11-27T20:00+00:00"), caps=caps("Asia/Shanghai")).claimed
    send(ledger, attempt.attempt_id, now_ms=ms("2026-11-27T20:00+00:00"))
    move(ledger, attempt.attempt_id, S.IN_DOUBT, now_ms=ms("2026-11-27T20:01+00:00"))
    move(ledger, attempt.attempt_id, S.WRITTEN_OFF, now_ms=ms("2026-11-27T20:02+00:00"))
    unmatched = UnmatchedTask(
        account=ACCOUNT,
        provider="kling",
        submit_class="A",
        task_id="task-9",
        external_task_id="",
        parent_video_id="1",
        parent_duration_ms=None,
        unit="kling-unit",
        predicted_micros=2_000_000,
        unit_price_micros=140_000,
        currency="USD",
        failed_tasks_charged="unknown",
        created_ms=ms("2026-11-27T17:00+00:00"),
        zone="Asia/Shanghai",
    )
    with ledger.write(now_ms=ms("2026-11-29T00:00+00:00"), actor="me") as tx:
        assert isinstance(reconciliation.adopt_unmatched(tx, unmatched), Moved)
        assert isinstance(late_acceptance.adopt_late_task(tx, attempt.attempt_id, task_id="task-10"), Moved)
    with ledger.read() as connection:
        days = set(connection.execute(select(tables.attempts.c.budget_day)).scalars())
    assert days == {"2026-11-28[Asia/Shanghai]"}
    assert check_invariants(ledger) == []
