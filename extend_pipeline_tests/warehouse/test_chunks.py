"""A publish reads the ledger in chunks, while others write, and the file is the ledger's at one event."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import event

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read import chunks
from extend_pipeline.warehouse import ledger_changes, schema
from extend_pipeline.warehouse.ledger_changes import NOTHING, Batch, head, read_changes
from extend_pipeline.warehouse.publish import Cost, Published, last_cost
from extend_pipeline.warehouse.read import query
from extend_pipeline.warehouse.rollups import ROLLUPS
from extend_pipeline.warehouse.verify import compare
from extend_pipeline_tests.support.ledger.events import START, seed_adjustment, seed_attempt, seed_video
from extend_pipeline_tests.support.ledger.plans import recorded
from extend_pipeline_tests.support.ledger.written import WrittenLedger
from extend_pipeline_tests.warehouse.conftest import Place


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_changes, "VALUES_A_READ", 60)
    monkeypatch.setattr(ledger_changes, "EVENTS_AT_THE_END", 12)
    monkeypatch.setattr(chunks, "EVENTS_A_READ", 2)


def fill(ledger: Ledger, videos: int = 4) -> None:
    for number in range(videos):
        seed_video(ledger, f"v{number}")
        seed_attempt(ledger, f"a{number}-1", video=f"v{number}")
        seed_attempt(ledger, f"a{number}-2", video=f"v{number}", hop=2, parent_attempt_id=f"a{number}-1")


def made_anew(ledger: Ledger, place: Place) -> Place:
    """Publish the ledger into a new file beside the place's; return where it is."""
    other = Place(place.target.with_name("other.duckdb"), place.work.with_name("other.work"))
    other.publish(ledger)
    return other


def contents(place: Place) -> list[Any]:
    return [
        query(place.target, f"SELECT * FROM {table.name} ORDER BY ALL").rows for table in (*schema.TABLES, *ROLLUPS)
    ]


def test_chunks_give_the_same_file_as_one_read(ledger: Ledger, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(ledger)
    place.publish(ledger)
    monkeypatch.setattr(ledger_changes, "VALUES_A_READ", 1)
    monkeypatch.setattr(ledger_changes, "EVENTS_AT_THE_END", 1)
    other = made_anew(ledger, place)
    assert contents(other) == contents(place)
    assert compare(ledger, other.target).findings == []


@pytest.mark.usefixtures("small_chunks")
def test_rows_that_change_between_two_reads_are_read_again(ledger: Ledger, place: Place) -> None:
    fill(ledger)

    def write(read: int) -> None:
        if read <= 30:
            state = ("stored", "failed", "in_doubt", "submitted", "released")[read % 5]
            seed_attempt(ledger, f"new-{read}", video=f"v{read % 3}", hop=2 + read, until=state)

    written = WrittenLedger(ledger.url, write)
    try:
        assert isinstance(place.publish(written), Published)
        assert written.reads > 30
        assert compare(written, place.target).findings == []
    finally:
        written.close()
    assert contents(made_anew(ledger, place)) == contents(place)


@pytest.mark.usefixtures("small_chunks")
def test_a_rename_between_two_reads_leaves_no_old_name(ledger: Ledger, place: Place) -> None:
    fill(ledger)
    place.publish(ledger)
    seed_attempt(ledger, "more", video="v9", hop=9)
    seed_attempt(ledger, "and-more", video="v9", hop=10)
    seed_attempt(ledger, "and-yet-more", video="v9", hop=11)

    def rename(read: int) -> None:
        if read == 3:
            with ledger.write(now_ms=START, actor="test") as tx:
                tx.append("video_renamed", video_key="w1", account="kling-main", data={"was": "v1"})

    written = WrittenLedger(ledger.url, rename)
    try:
        published = place.publish(written)
    finally:
        written.close()
    assert isinstance(published, Published)
    assert published.rebuilt is not None
    assert query(place.target, "SELECT video_key FROM source_videos ORDER BY 1").rows == [
        ("v0",),
        ("v2",),
        ("v3",),
        ("w1",),
    ]
    assert compare(ledger, place.target).findings == []


def rename_account(ledger: Ledger) -> None:
    with ledger.write(now_ms=START, actor="test") as tx:
        tx.append("account_renamed", account="other", data={"was": "kling-main"})


def test_the_rows_of_a_renamed_account_are_read_in_chunks(
    ledger: Ledger, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give 120 charges, 40 attempts and 20 videos the number of one event."""
    fill(ledger, videos=20)
    rename_account(ledger)
    place.publish(ledger)
    monkeypatch.setattr(ledger_changes, "VALUES_A_READ", 200)
    monkeypatch.setattr(ledger_changes, "EVENTS_AT_THE_END", 12)
    monkeypatch.setattr(ledger_changes, "READS_A_BATCH", 1)
    rows: Counter[str] = Counter()
    for batch in read_changes(ledger, after=NOTHING):
        if isinstance(batch, Batch):
            rows[batch.table] += len(batch.rows)
            assert len(batch.rows) < 2 * (200 // len(batch.names)), batch.table
    assert rows == {"videos": 20, "attempts": 40, "charges": 120}
    other = made_anew(ledger, place)
    assert contents(other) == contents(place)
    assert compare(ledger, other.target).findings == []


@pytest.mark.usefixtures("small_chunks")
def test_rows_of_a_renamed_account_that_change_between_two_reads_are_read_again(ledger: Ledger, place: Place) -> None:
    fill(ledger, videos=20)
    rename_account(ledger)

    def write(read: int) -> None:
        if read <= 60:
            seed_adjustment(ledger, f"a{read % 20}-{1 + read % 2}", micros=-1)
            seed_attempt(ledger, f"new-{read}", video=f"v{read % 3}", hop=2 + read, account="other")

    written = WrittenLedger(ledger.url, write)
    try:
        assert isinstance(place.publish(written), Published)
        assert compare(written, place.target).findings == []
    finally:
        written.close()
    assert contents(made_anew(ledger, place)) == contents(place)


@pytest.mark.usefixtures("small_chunks")
def test_each_chunk_of_a_renamed_account_is_found_by_its_index(small_ledger: Ledger) -> None:
    fill(small_ledger, videos=20)
    rename_account(small_ledger)
    with recorded(small_ledger) as statements:
        assert list(read_changes(small_ledger, after=NOTHING))
    paged = {text: values for text, values in statements if "rowid" in text}
    with small_ledger.read() as connection:
        plans = [
            row[3]
            for text, values in paged.items()
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)
        ]
    searched = {(words[1], words[4], *words[5:]) for plan in plans if "rowid" in plan and (words := plan.split())}
    by_number = ("(seq=?", "AND", "rowid>?)")
    assert searched == {(table, f"ix_{table}_seq", *by_number) for table in ("videos", "attempts", "charges")}
    assert not [plan for plan in plans if plan.startswith(("SCAN", "USE TEMP"))]


def test_a_publish_reads_the_changed_rows_by_their_number(small_ledger: Ledger, place: Place) -> None:
    fill(small_ledger)
    place.publish(small_ledger)
    seed_attempt(small_ledger, "more", video="v9")
    seen: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        if statement.startswith("SELECT"):
            seen[statement] = parameters

    event.listen(small_ledger.engine, "before_cursor_execute", note)
    place.publish(small_ledger)
    event.remove(small_ledger.engine, "before_cursor_execute", note)
    with small_ledger.read() as connection:
        plans = {
            row[3]
            for statement, parameters in seen.items()
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        }
    assert {plan.split()[1] for plan in plans if plan.startswith("SCAN")} <= {"ledger_head"}
    indices = {plan.partition(" INDEX ")[2].split()[0] for plan in plans if " INDEX " in plan}
    assert {"ix_attempts_seq", "ix_charges_seq", "ix_videos_seq", "ix_charges_attempt_id"} <= indices


def test_what_a_publish_reads_does_not_depend_on_what_was_published_before(small_ledger: Ledger) -> None:
    costs = []
    for videos in (range(2), range(2, 40)):
        for number in videos:
            seed_video(small_ledger, f"v{number}")
            seed_attempt(small_ledger, f"a{number}", video=f"v{number}")
        with small_ledger.read() as connection:
            before = head(connection)
        seed_attempt(small_ledger, f"more-{videos.stop}", video="v0", hop=videos.stop)
        statements: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any, seen: list[str] = statements) -> None:
            seen.append(statement)

        event.listen(small_ledger.engine, "before_cursor_execute", note)
        changes = list(read_changes(small_ledger, after=before))
        event.remove(small_ledger.engine, "before_cursor_execute", note)
        costs.append((statements, {batch.table: len(batch.rows) for batch in changes if isinstance(batch, Batch)}))
    assert costs[0] == costs[1]
    assert costs[0][1] == {"attempts": 1, "charges": 3}


def test_a_publish_remembers_what_it_cost(small_ledger: Ledger, place: Place) -> None:
    assert last_cost(place.work) is None
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger, now_ms=START)
    cost = last_cost(place.work)
    assert cost is not None
    assert cost.began_ms == START
    assert cost.took_ms > 0
    place.publish(small_ledger, now_ms=START + 5)  # changes nothing, and costs nothing
    assert last_cost(place.work) == Cost(START, cost.took_ms)
    place.work.with_name(place.work.name + ".lock").write_text("?")
    assert last_cost(place.work) is None
