"""What is published, and when; on SQLite and on PostgreSQL."""

from __future__ import annotations

import fcntl
import os
import stat
from datetime import UTC, datetime
from decimal import Decimal

import duckdb
import pytest

from extend_pipeline.base.units import from_ms
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.warehouse.columns import prompt_of
from extend_pipeline.warehouse.publish import AlreadyFresh, Busy, Published
from extend_pipeline.warehouse.read import meta, query
from extend_pipeline.warehouse.verify import compare
from extend_pipeline_tests.support.ledger.events import (
    START,
    append_attempt,
    declare_video,
    seed_adjustment,
    seed_attempt,
    seed_video,
    step,
)
from extend_pipeline_tests.warehouse.conftest import Place


def single_row(place: Place, sql: str) -> tuple[object, ...]:
    rows = query(place.target, sql).rows
    assert len(rows) == 1
    return rows[0]


def test_a_stored_attempt_has_its_length_its_cost_and_its_origin(ledger: Ledger, place: Place) -> None:
    seed_video(ledger, "harbour")
    prompt = "the fog lifts"
    seed_attempt(ledger, "a1", end={"seam_psnr_centi_db": 4_125}, params=f'{{"prompt":"{prompt}"}}')

    published = place.publish(ledger)

    assert isinstance(published, Published)
    assert published.rows == {
        "source_videos": 1,
        "extension_requests": 1,
        "charges": 3,
        "completed_extensions": 1,
        "lineage": 1,
        "reconciliations": 0,
    }
    assert single_row(
        place,
        "SELECT added_duration_s, probed_duration_s, output_duration_s, units, amount, currency, units_basis, "
        "seam_psnr_db, wait_s, stored_at, path FROM completed_extensions",
    ) == (
        Decimal("4.500"),
        Decimal("9.600"),
        Decimal("9.600"),
        Decimal("2.000000"),
        Decimal("0.280000"),
        "USD",
        "estimated",
        Decimal("41.25"),
        Decimal("1.000"),
        from_ms(START + 4_000),
        "ab/ab.mp4",
    )
    assert single_row(place, "SELECT prompt, request, task_id, predicted_units FROM extension_requests") == (
        prompt,
        '{"video_id":"000827942411241803"}',
        "00task-a1",
        Decimal(2),
    )
    assert query(place.target, "SELECT entry, units FROM charges ORDER BY charge_id").rows == [
        ("reserve", Decimal(2)),
        ("release", Decimal(-2)),
        ("settle", Decimal(2)),
    ]
    assert compare(ledger, place.target).findings == []


def test_meta_has_the_age_of_the_file(ledger: Ledger, place: Place) -> None:
    assert meta(place.target) is None
    seed_attempt(ledger, "a1")
    place.publish(ledger, now_ms=START + 77)
    about = meta(place.target)
    assert about is not None
    assert (about.ledger_seq, about.published_at) == (5, from_ms(START + 77))
    assert about.published_at.tzinfo is UTC
    assert (about.storage_version, about.duckdb_version) == ("v1.2.0", duckdb.__version__)


def test_only_what_changed_is_written_again(ledger: Ledger, place: Place) -> None:
    for number in range(5):
        seed_attempt(ledger, f"a{number}", hop=number + 1, until="submitted")
    place.publish(ledger)
    with ledger.write(now_ms=START + 9_000, actor="test") as tx:
        step(tx, "failed", "a3", video="harbour", account="kling-main", data={"error_message": "no"})

    published = place.publish(ledger)

    assert isinstance(published, Published)
    assert published.rebuilt is None
    assert published.rows == {
        "source_videos": 0,
        "extension_requests": 1,
        "charges": 2,
        "completed_extensions": 0,
        "lineage": 0,
        "reconciliations": 0,
    }
    assert query(place.target, "SELECT attempt_id, state FROM extension_requests ORDER BY 1").rows == [
        ("a0", "submitted"),
        ("a1", "submitted"),
        ("a2", "submitted"),
        ("a3", "failed"),
        ("a4", "submitted"),
    ]
    assert compare(ledger, place.target).findings == []


def test_many_small_publishes_give_the_same_file_as_one_from_zero(ledger: Ledger, place: Place) -> None:
    states = ("stored", "failed", "in_doubt", "released", "rejected", "quarantined", "written_off", "submitted")
    for number, state in enumerate(states):
        seed_video(ledger, f"v{number % 3}")
        seed_attempt(ledger, f"a{number}", video=f"v{number % 3}", hop=number + 1, until=state)
        place.publish(ledger)
    again = Place(place.target.with_name("other.duckdb"), place.work.with_name("other.work"))
    again.publish(ledger)

    for table in ("source_videos", "extension_requests", "charges", "completed_extensions", "lineage"):
        every_row = f"SELECT * FROM {table} ORDER BY ALL"
        rows = query(place.target, every_row).rows
        assert rows == query(again.target, every_row).rows
        assert rows


def test_an_unchanged_ledger_writes_nothing(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    before = place.target.stat()
    assert place.publish(ledger) == AlreadyFresh(5)
    assert (place.target.stat().st_ino, place.target.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_another_program_changed_is_published_anew(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    with duckdb.connect(str(place.target)) as connection:
        connection.execute("UPDATE _meta SET ledger_seq = 4")
    published = place.publish(ledger)
    assert isinstance(published, Published)
    assert (published.rebuilt, published.rows) == (None, {})
    assert place.publish(ledger) == AlreadyFresh(5)


def test_what_the_last_publish_left_is_fresh_without_a_note_of_it(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    place.work.with_name(place.work.name + ".lock").write_text("")
    assert place.publish(ledger) == AlreadyFresh(5)


def test_a_lost_file_is_restored_from_the_working_file(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    place.target.unlink()
    published = place.publish(ledger)
    assert isinstance(published, Published)
    assert (published.rebuilt, published.rows) == (None, {})
    assert compare(ledger, place.target).findings == []


def test_an_empty_ledger_gives_empty_tables(ledger: Ledger, place: Place) -> None:
    published = place.publish(ledger)
    assert isinstance(published, Published)
    assert published.ledger_seq == 0
    assert single_row(place, "SELECT count(*) FROM charges") == (0,)
    assert compare(ledger, place.target).findings == []
    assert place.publish(ledger) == AlreadyFresh(0)


def test_ids_and_texts_are_published_unchanged(ledger: Ledger, place: Place) -> None:
    odd = [
        "000827942411241803",
        "827942411241803822123",
        "1e5",
        "O'Brien\"; DROP TABLE charges;--",
        "a\nb\r\n\tc",
        "Å🎬",
        " ",
    ]
    with ledger.write(now_ms=START, actor="test") as tx:
        for number, text in enumerate(odd):
            append_attempt(
                tx,
                f"a{number}",
                video=text,
                hop=number + 1,
                root_video_id=text,
                parent_video_id=text,
                request=text,
                end={"path": text},
            )
    place.publish(ledger)
    sql = "SELECT video_key, root_video_id, parent_video_id FROM lineage ORDER BY attempt_id"
    assert query(place.target, sql).rows == [(text, text, text) for text in odd]
    assert [
        row[0] for row in query(place.target, "SELECT request FROM extension_requests ORDER BY attempt_id").rows
    ] == odd
    types = query(place.target, "DESCRIBE extension_requests").rows
    assert {row[1] for row in types if row[0].endswith("_id")} == {"VARCHAR"}


def test_a_prompt_that_no_utf8_file_can_hold_does_not_stop_a_publish(ledger: Ledger, place: Place) -> None:
    params = {
        r'{"prompt":"half \ud83c, \u0000"}': "half ?, \x00",
        r'{"prompt":"\ud83c\udf05 \uD83C\uDF05 \udf05\ud83c"}': "🌅 🌅 ??",
        r'{"prompt":"\\ud83c \\\ud83c \ud83c\ud83c\udf05"}': r"\ud83c \? ?🌅",
        r'{"prompt":"\ud7ff \u0001\u0002","other":"\ud83c"}': "\ud7ff \x01\x02",
        r'{"other":"\ud83c"}': None,
        "{}": None,
    }
    for hop, each in enumerate(params, start=1):
        seed_attempt(ledger, f"a{hop}", hop=hop, params=each)
    place.publish(ledger)
    rows = query(place.target, "SELECT prompt FROM lineage ORDER BY attempt_id").rows
    assert rows == [(expected,) for expected in params.values()]
    assert rows == [(prompt_of(each),) for each in params]


def test_great_and_tiny_quantities_stay_exact(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1", predicted_micros=999_999_999_999_999_999, unit_price_micros=1_000_000, until="submitted")
    seed_attempt(ledger, "a2", hop=2, predicted_micros=1, unit_price_micros=1_000_000, until="submitted")
    place.publish(ledger)
    assert query(place.target, "SELECT units, amount FROM charges ORDER BY attempt_id").rows == [
        (Decimal("999999999999.999999"), Decimal("999999999999.999999")),
        (Decimal("0.000001"), Decimal("0.000001")),
    ]


def test_the_length_that_was_added_depends_on_what_the_file_holds(ledger: Ledger, place: Place) -> None:
    lengths = {"probed_duration_ms": 4_400}
    seed_attempt(ledger, "full", hop=1)
    seed_attempt(ledger, "segment", hop=2, end={**lengths, "output_kind": "segment"})
    seed_attempt(ledger, "unknown", hop=3, end={**lengths, "output_kind": "unknown"})
    seed_attempt(ledger, "unmeasured", hop=4, parent_duration_ms=None)
    place.publish(ledger)
    rows = query(
        place.target,
        "SELECT attempt_id, added_duration_s, duration_after_s "
        "FROM completed_extensions JOIN lineage USING (attempt_id)",
    ).rows
    assert {row[0]: row[1:] for row in rows} == {
        "full": (Decimal("4.500"), Decimal("9.600")),
        "segment": (Decimal("4.400"), Decimal("9.500")),
        "unknown": (None, Decimal("4.400")),
        "unmeasured": (None, Decimal("9.600")),
    }


def test_depth_counts_from_the_root_through_branches(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1", hop=1)
    seed_attempt(ledger, "a2", hop=2, parent_attempt_id="a1")
    place.publish(ledger)
    # the branch comes in a later publish than the hop that it grows from
    seed_attempt(ledger, "b1", video="night", hop=1, parent_attempt_id="a2")
    seed_attempt(ledger, "b2", video="night", hop=2, parent_attempt_id="b1")
    place.publish(ledger)
    assert query(place.target, "SELECT attempt_id, hop, depth FROM lineage ORDER BY 1").rows == [
        ("a1", 1, 1),
        ("a2", 2, 2),
        ("b1", 1, 3),
        ("b2", 2, 4),
    ]


def test_a_booking_on_an_attempt_that_ended_long_ago_changes_its_cost_alone(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    seed_adjustment(ledger, "a1", micros=-500_000)
    place.publish(ledger)
    assert single_row(place, "SELECT units, amount FROM completed_extensions") == (Decimal("1.5"), Decimal("0.21"))
    for table in ("completed_extensions", "extension_requests"):
        assert single_row(place, f"SELECT units_basis FROM {table}") == ("estimated",)
    bases = "SELECT entry, basis FROM charges WHERE entry IN ('settle', 'adjust') ORDER BY charge_id"
    assert query(place.target, bases).rows == [("settle", "estimated"), ("adjust", "reported")]
    assert compare(ledger, place.target).findings == []


def test_a_video_that_is_declared_again_stays_one_row(ledger: Ledger, place: Place) -> None:
    seed_video(ledger, "harbour", target_ms=30_000)
    place.publish(ledger)
    with ledger.write(now_ms=START, actor="test") as tx:
        declare_video(tx, "harbour", target_ms=45_500)
        progress = {"state": "waiting", "state_reason": "day_budget", "state_detail": "tomorrow", "hops_done": 2}
        tx.append("video_progressed", video_key="harbour", data={**progress, "current_duration_ms": 14_100})
    place.publish(ledger)
    statement = "SELECT target_s, state, state_reason, hops_done, current_duration_s, created_at FROM source_videos"
    assert single_row(place, statement) == (
        Decimal("45.500"),
        "waiting",
        "day_budget",
        2,
        Decimal("14.100"),
        from_ms(START - 3_600_000),
    )


def test_signed_addresses_are_not_published(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1", until="succeeded")
    place.publish(ledger)
    assert b"token=abc" not in place.target.read_bytes()
    assert single_row(place, "SELECT state, video_id FROM extension_requests") == ("succeeded", "00video-a1")


def test_the_file_has_the_storage_version_that_duckdb_1_2_reads(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    seed_attempt(ledger, "a2", hop=2)
    place.publish(ledger)
    sql = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = 'warehouse'"
    assert single_row(place, sql) == ("v1.2.0+",)
    # bytes 12-19 of the header are the number of the storage format; 65 came with 1.2, later ones are refused by it
    assert int.from_bytes(place.target.read_bytes()[12:20], "little") == 65


def test_only_the_owner_may_read_the_files(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in place.target.parent.iterdir()}
    assert modes == {"warehouse.duckdb": 0o600, "warehouse.work.duckdb": 0o600, "warehouse.work.duckdb.lock": 0o600}
    assert stat.S_IMODE(place.target.parent.stat().st_mode) == 0o700


def test_a_second_publisher_leaves_at_once(ledger: Ledger, place: Place) -> None:
    place.publish(ledger)
    descriptor = os.open(place.work.with_name(place.work.name + ".lock"), os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        seed_attempt(ledger, "a1")
        assert place.publish(ledger) == Busy()
    finally:
        os.close(descriptor)
    assert isinstance(place.publish(ledger), Published)


def test_a_foreign_log_beside_the_file_is_moved_away(ledger: Ledger, place: Place) -> None:
    seed_attempt(ledger, "a1")
    place.publish(ledger)
    wal = place.target.with_name(place.target.name + ".wal")
    writer = duckdb.connect(str(place.target))
    writer.execute("SET wal_autocheckpoint = '1TB'")
    writer.execute("CREATE TABLE foreign_rows AS SELECT 42 AS x")
    content = wal.read_bytes()
    writer.close()
    wal.write_bytes(content)
    seed_attempt(ledger, "a2", hop=2)

    assert isinstance(place.publish(ledger, now_ms=START + 5), Published)

    assert not wal.exists()
    assert wal.with_name(f"{wal.name}.stale-{START + 5}").read_bytes() == content
    assert single_row(place, "SELECT count(*) FROM extension_requests") == (2,)
    assert single_row(place, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'foreign_rows'") == (0,)


@pytest.mark.parametrize("moment", [0, START, 4_102_444_799_999])
def test_moments_are_utc_and_keep_their_milliseconds(small_ledger: Ledger, place: Place, moment: int) -> None:
    seed_attempt(small_ledger, "a1", now_ms=moment, until="claimed")
    place.publish(small_ledger)
    expected = datetime.fromtimestamp(moment // 1000, tz=UTC).replace(microsecond=moment % 1000 * 1000)
    assert single_row(place, "SELECT claimed_at FROM extension_requests") == (expected,)
