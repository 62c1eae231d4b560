"""The comparison finds what differs, and only that."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.identity import event_digest
from extend_pipeline.ledger.read.held import Held
from extend_pipeline.warehouse.errors import NotPublishedError
from extend_pipeline.warehouse.read import meta
from extend_pipeline.warehouse.verify import compare
from extend_pipeline_tests.support.ledger.events import START, seed_attempt, seed_video, step
from extend_pipeline_tests.support.ledger.plans import recorded
from extend_pipeline_tests.support.ledger.written import WrittenLedger
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.warehouse.conftest import Place


def falsify(target: Path, sql: str) -> None:
    with duckdb.connect(str(target)) as connection:
        connection.execute(sql)


FALSE = pytest.mark.parametrize(
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


@FALSE
def test_every_difference_is_reported(ledger: Ledger, place: Place, sql: str) -> None:
    seed_video(ledger, "harbour")
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    assert compare(ledger, place.target).findings == []
    falsify(place.target, sql)
    differences = compare(ledger, place.target).findings
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
    assert compare(ledger, place.target).findings == []
    falsify(place.target, "DELETE FROM extension_requests WHERE attempt_id = 'a2'")
    (difference,) = compare(ledger, place.target).findings
    check_user_text(difference)


def test_there_is_nothing_to_compare_before_the_first_publish(small_ledger: Ledger, place: Place) -> None:
    with pytest.raises(NotPublishedError):
        compare(small_ledger, place.target)


def held_now(ledger: Ledger, place: Place) -> Held:
    """Publish, and return where the file agrees with the ledger."""
    place.publish(ledger)
    proof = compare(ledger, place.target)
    assert (proof.findings, proof.is_whole) == ([], True)
    assert proof.held is not None
    return proof.held


@FALSE
def test_what_changed_is_compared_with_the_figures_of_then(ledger: Ledger, place: Place, sql: str) -> None:
    seed_video(ledger, "harbour")
    seed_attempt(ledger, "a1")
    held = held_now(ledger, place)
    seed_video(ledger, "other")
    seed_attempt(ledger, "a2", hop=2)
    seed_attempt(ledger, "a3", video="other", until="submitted")
    place.publish(ledger)
    proof = compare(ledger, place.target, since=held)
    assert (proof.findings, proof.is_whole, proof.rows) == ([], False, 4)
    assert proof.held == held_now(ledger, place)
    falsify(place.target, sql)
    assert compare(ledger, place.target, since=held).findings


@pytest.mark.parametrize("videos", [2, 40])
def test_the_ledger_is_read_by_what_changed(ledger: Ledger, place: Place, videos: int) -> None:
    for number in range(videos):
        seed_video(ledger, f"v{number}")
        seed_attempt(ledger, f"a{number}", video=f"v{number}")
    held = held_now(ledger, place)
    seed_attempt(ledger, "new", video="v1", hop=2)
    place.publish(ledger)
    with recorded(ledger) as statements:
        proof = compare(ledger, place.target, since=held)
    assert (proof.findings, proof.is_whole, proof.rows) == ([], False, 3)
    texts = [text for text, _ in statements if text.startswith("SELECT")]
    assert len(texts) == 16
    whole = [text for text in texts if "WHERE" not in text and "ledger_head" not in text]
    assert whole == []


def test_everything_is_compared_with_a_file_that_is_behind(ledger: Ledger, place: Place) -> None:
    seed_video(ledger, "harbour")
    seed_attempt(ledger, "a1")
    held_before = held_now(ledger, place)
    seed_attempt(ledger, "a2", hop=2)
    assert not compare(ledger, place.target, since=held_before).is_whole
    with ledger.read() as connection:
        later = Held(held_before.seq + 1, event_digest(connection, held_before.seq + 1), held_before.sums)
    proof = compare(ledger, place.target, since=later)
    assert (proof.findings, proof.is_whole) == ([], True)


@pytest.mark.parametrize("goes_on", [False, True])
@pytest.mark.parametrize("first", [1, 2])
def test_a_file_that_is_replaced_meanwhile_is_compared_as_it_was_opened(
    ledger: Ledger, place: Place, first: int, goes_on: bool
) -> None:
    """Let another process publish before each read of the ledger, from the first or the second one on."""
    seed_video(ledger, "harbour")
    seed_attempt(ledger, "a1")
    held = held_now(ledger, place)
    seed_attempt(ledger, "a2", hop=2)
    place.publish(ledger)
    opened = meta(place.target)
    assert opened is not None

    def publish_more(read: int) -> None:
        if read >= first:
            seed_attempt(ledger, f"more-{read}", hop=10 + read)
            place.publish(ledger)

    written = WrittenLedger(ledger.url, publish_more)
    try:
        proof = compare(written, place.target, since=held if goes_on else None)
    finally:
        written.close()
    assert (proof.findings, proof.is_whole) == ([], not goes_on)
    assert proof.held is not None
    assert proof.held.seq == opened.ledger_seq
    newest = meta(place.target)
    assert newest is not None
    assert newest.ledger_seq > opened.ledger_seq
