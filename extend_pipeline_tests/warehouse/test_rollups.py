"""The sums under the views are the charges' own, however many publishes they were kept up by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.warehouse import schema
from extend_pipeline.warehouse.read import query
from extend_pipeline.warehouse.rollups import ROLLUPS
from extend_pipeline_tests.support.ledger.events import START, seed_adjustment, seed_attempt, seed_video
from extend_pipeline_tests.support.ledger.quick_ledgers import migrate_quickly
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


def publish_each_change(ledger: Ledger, place: Place) -> None:
    """Fill an empty ledger, and publish it after each of its changes."""
    states = ("stored", "failed", "in_doubt", "released", "rejected", "quarantined", "written_off", "succeeded")
    for number, state in enumerate(states):
        video = f"v{number % 3}"
        seed_video(ledger, video)
        seed_attempt(ledger, f"a{number}", video=video, hop=number + 1, until=state, now_ms=START + number * DAY)
        place.publish(ledger)
    seed_attempt(ledger, "a8", video="v0", hop=9, currency="CNY", unit="cny", account="other")
    place.publish(ledger)
    seed_attempt(ledger, "a9", video="v0", hop=10, provider="vidu")  # of the same account, unit and currency
    place.publish(ledger)
    seed_adjustment(ledger, "a0", micros=-500_000)
    place.publish(ledger)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Place]]:
    """Yield a ledger that was published after each of its changes, and where; no test changes it."""
    folder = tmp_path_factory.mktemp("grown")
    place = Place(folder / "warehouse.duckdb", folder / "warehouse.work.duckdb")
    with pytest.MonkeyPatch.context() as patch:
        migrate_quickly(patch)
        ledger = open_ledger(f"sqlite:///{folder}/ledger.sqlite")
    publish_each_change(ledger, place)
    yield ledger, place
    ledger.close()


@pytest.mark.parametrize("view", sorted(FROM_VIEW))
def test_a_view_has_the_sums_of_the_charges(grown: tuple[Ledger, Place], view: str) -> None:
    _, place = grown
    rows = query(place.target, FROM_VIEW[view]).rows
    assert rows == query(place.target, FROM_CHARGES[view]).rows
    assert rows


def test_many_small_publishes_give_the_same_sums_as_one_from_zero(grown: tuple[Ledger, Place], place: Place) -> None:
    ledger, published = grown
    place.publish(ledger)
    for table in (*schema.TABLES, *ROLLUPS):
        every_row = f"SELECT * FROM {table.name} ORDER BY ALL"
        assert query(published.target, every_row).rows == query(place.target, every_row).rows


def test_only_the_changed_videos_and_days_are_summed_up_again(small_ledger: Ledger, place: Place) -> None:
    """Count what a publish writes by the rows that are new in the file: DuckDB numbers rows as they are written."""
    publish_each_change(small_ledger, place)
    newest = {t.name: query(place.target, f"SELECT max(rowid) FROM {t.name}").rows[0][0] for t in ROLLUPS}
    seed_attempt(small_ledger, "b0", video="v9", now_ms=START + 40 * DAY)
    place.publish(small_ledger)
    written = {
        t.name: query(place.target, f"SELECT count(*) FROM {t.name} WHERE rowid > ?", [newest[t.name]]).rows[0][0]
        for t in ROLLUPS
    }
    assert written == dict.fromkeys((t.name for t in ROLLUPS), 1)
