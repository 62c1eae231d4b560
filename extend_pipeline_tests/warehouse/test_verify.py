"""The comparison finds what differs, and only that."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse.errors import NotPublishedError
from extend_pipeline.warehouse.verify import compare
from extend_pipeline_tests.support.ledger.events import START, seed_attempt, seed_video, step
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.warehouse.conftest import Place


def falsify(target: Path, sql: str) -> None:
    with duckdb.connect(str(target)) as connection:
        connection.execute(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE charges SET units = units + 0.000001 WHERE entry = 'settle'",
        "UPDATE charges SET amount = amount * 2 WHERE entry = 'release'",
        "DELETE FROM charges WHERE entry = 'reserve'",
        "UPDATE charges SET currency = 'CNY'",
        "DELETE FROM lineage",
        "INSERT INTO completed_extensions SELECT * FROM completed_extensions",
        "DELETE FROM source_videos",
        "UPDATE extension_requests SET state = 'failed'",
    ],
)
def test_every_difference_is_reported(ledger: Ledger, place: Place, sql: str) -> None:
    seed_video(ledger, "harbour")
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    assert compare(ledger, place.target) == []
    falsify(place.target, sql)
    differences = compare(ledger, place.target)
    assert differences
    check_user_text("\n".join([sql, *differences]))


def test_a_ledger_that_has_gone_on_is_compared_at_the_number_of_the_file(ledger: Ledger, place: Place) -> None:
    seed_video(ledger, "harbour")
    seed_attempt(ledger, "a1")
    seed_attempt(ledger, "a2", hop=2, until="submitted")
    place.publish(ledger)
    seed_video(ledger, "other")
    seed_attempt(ledger, "a3", hop=3)
    with ledger.write(now_ms=START + 9_000, actor="test") as tx:
        step(tx, "failed", "a2", video="harbour", account="kling-main", data={})
    assert compare(ledger, place.target) == []
    falsify(place.target, "DELETE FROM extension_requests WHERE attempt_id = 'a2'")
    (difference,) = compare(ledger, place.target)
    check_user_text(difference)


def test_there_is_nothing_to_compare_before_the_first_publish(small_ledger: Ledger, place: Place) -> None:
    with pytest.raises(NotPublishedError):
        compare(small_ledger, place.target)
