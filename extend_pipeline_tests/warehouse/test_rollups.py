"""The sums under the views are the charges' own, however many publishes they were kept up by."""

from __future__ import annotations

import pytest

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.read import query
from extend_pipeline.warehouse.rollups import ROLLUPS
from extend_pipeline_tests.support.ledger.events import START, seed_adjustment, seed_attempt, seed_video
from extend_pipeline_tests.warehouse.conftest import Place

DAY = 86_400_000
SPENT = "sum({}) FILTER (entry IN ('settle', 'adjust'))"
KEYS = "account, provider, unit, currency"

FROM_CHARGES = {
    "cost_by_account": f"SELECT {KEYS}, coalesce({SPENT.format('units')}, 0), coalesce({SPENT.format('amount')}, 0), "
    f"sum(units), count(DISTINCT attempt_id), count(DISTINCT video_key) FROM charges GROUP BY {KEYS} ORDER BY ALL",
    "cost_by_day": f"SELECT budget_day, {KEYS}, coalesce({SPENT.format('units')}, 0), "
    "count(DISTINCT attempt_id) FILTER (entry = 'reserve') "
    f"FROM charges GROUP BY budget_day, {KEYS} ORDER BY ALL",
    "cost_by_video": f"SELECT video_key, {KEYS}, count(DISTINCT attempt_id), coalesce({SPENT.format('amount')}, 0), "
    "(SELECT sum(added_duration_s) FROM completed_extensions AS e "
    "WHERE (e.video_key, e.account, e.provider, e.currency) = "
    "(charges.video_key, charges.account, charges.provider, charges.currency)) "
    f"FROM charges GROUP BY video_key, {KEYS} ORDER BY ALL",
    "cost_per_second": f"SELECT {KEYS}, count(*), sum(added_duration_s) "
    f"FROM completed_extensions GROUP BY {KEYS} ORDER BY ALL",
    "focus_1_2": "SELECT charge_id, c.attempt_id, amount, r.hop, r.task_id FROM charges AS c "
    "JOIN extension_requests AS r USING (attempt_id) WHERE entry IN ('settle', 'adjust') ORDER BY ALL",
}
FROM_VIEW = {
    "cost_by_account": f"SELECT {KEYS}, spent_units, spent_amount, committed_units, attempts, videos "
    "FROM cost_by_account ORDER BY ALL",
    "cost_by_day": f"SELECT day, {KEYS}, spent_units, attempts FROM cost_by_day ORDER BY ALL",
    "cost_by_video": f"SELECT video_key, {KEYS}, attempts, spent_amount, added_s FROM cost_by_video ORDER BY ALL",
    "cost_per_second": f"SELECT {KEYS}, extensions, added_s FROM cost_per_second ORDER BY ALL",
    "focus_1_2": 'SELECT "x_ChargeId", "x_AttemptId", "BilledCost", '
    """CAST(regexp_extract("ChargeDescription", 'hop ([0-9]+)', 1) AS BIGINT), "x_TaskId" """
    "FROM focus_1_2 ORDER BY ALL",
}


@pytest.fixture
def grown(small_ledger: Ledger, place: Place) -> Ledger:
    """Yield a ledger that was published after each of its changes."""
    states = ("stored", "failed", "in_doubt", "released", "rejected", "quarantined", "written_off", "succeeded")
    for number, state in enumerate(states):
        video = f"v{number % 3}"
        seed_video(small_ledger, video)
        seed_attempt(small_ledger, f"a{number}", video=video, hop=number + 1, until=state, now_ms=START + number * DAY)
        place.publish(small_ledger)
    seed_attempt(small_ledger, "a8", video="v0", hop=9, currency="CNY", unit="cny", account="other")
    place.publish(small_ledger)
    seed_attempt(small_ledger, "a9", video="v0", hop=10, provider="vidu")  # of the same account, unit and currency
    place.publish(small_ledger)
    seed_adjustment(small_ledger, "a0", micros=-500_000)
    place.publish(small_ledger)
    return small_ledger


@pytest.mark.parametrize("view", sorted(FROM_VIEW))
@pytest.mark.usefixtures("grown")
def test_a_view_has_the_sums_of_the_charges(place: Place, view: str) -> None:
    rows = query(place.target, FROM_VIEW[view]).rows
    assert rows == query(place.target, FROM_CHARGES[view]).rows
    assert rows


def test_many_small_publishes_give_the_same_sums_as_one_from_zero(grown: Ledger, place: Place) -> None:
    again = Place(place.target.with_name("other.duckdb"), place.work.with_name("other.work"))
    again.publish(grown)
    for table in (*schema.TABLES, *ROLLUPS):
        every_row = f"SELECT * FROM {table.name} ORDER BY ALL"
        assert query(place.target, every_row).rows == query(again.target, every_row).rows


def test_only_the_changed_videos_and_days_are_summed_up_again(grown: Ledger, place: Place) -> None:
    """Count what a publish writes by the rows that are new in the file: DuckDB numbers rows as they are written."""
    newest = {t.name: query(place.target, f"SELECT max(rowid) FROM {t.name}").rows[0][0] for t in ROLLUPS}
    seed_attempt(grown, "b0", video="v9", now_ms=START + 40 * DAY)
    place.publish(grown)
    written = {
        t.name: query(place.target, f"SELECT count(*) FROM {t.name} WHERE rowid > ?", [newest[t.name]]).rows[0][0]
        for t in ROLLUPS
    }
    assert written == dict.fromkeys((t.name for t in ROLLUPS), 1)
