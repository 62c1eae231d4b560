"""Killed publishers, damaged files and restored ledgers: the next publish repairs all, and readers never notice."""

from __future__ import annotations

import errno
import shutil
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from extend_pipeline.base import failpoints
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.warehouse import atomic_replace, definitions, staging_db
from extend_pipeline.warehouse.errors import PublishError
from extend_pipeline.warehouse.publish import Published, publish
from extend_pipeline.warehouse.read import meta, query
from extend_pipeline.warehouse.verify import compare
from extend_pipeline_tests.support.ledger.events import START, seed_attempt
from extend_pipeline_tests.support.processes.children import CONTEXT
from extend_pipeline_tests.support.user_texts import check_user_text
from extend_pipeline_tests.warehouse.conftest import Place

DAY = 86_400_000
POINTS = [name for name in failpoints.POINTS if name.startswith("publish.")]


def publish_and_die(point: str, url: str, target: Path, work: Path) -> None:
    """Publish and be killed at a failpoint."""
    failpoints.arm(f"{point}=kill")
    publish(open_ledger(url), target=target, work=work, now_ms=1)


def die_at(point: str, ledger: Ledger, place: Place) -> None:
    child = CONTEXT.Process(target=publish_and_die, args=(point, ledger.url, place.target, place.work), daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL


def attempts(place: Place) -> int:
    count: int = query(place.target, "SELECT count(*) FROM extension_requests").rows[0][0]
    return count


def seqs(place: Place) -> int | None:
    about = meta(place.target)
    return about.ledger_seq if about else None


def test_there_are_publish_failpoints_to_die_at() -> None:
    assert POINTS == ["publish.before_commit", "publish.before_rename", "publish.after_rename"]


@pytest.mark.parametrize("point", POINTS)
def test_a_publisher_killed_in_the_first_publish_leaves_nothing_half_done(
    small_ledger: Ledger, place: Place, point: str
) -> None:
    seed_attempt(small_ledger, "a1")
    die_at(point, small_ledger, place)
    assert seqs(place) == (5 if point == "publish.after_rename" else None)
    place.publish(small_ledger)
    assert compare(small_ledger, place.target).findings == []
    assert attempts(place) == 1


@pytest.mark.parametrize("point", POINTS)
def test_a_publisher_killed_later_leaves_the_old_file_or_the_new_one(
    small_ledger: Ledger, place: Place, point: str
) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    seed_attempt(small_ledger, "a2", hop=2)
    die_at(point, small_ledger, place)
    assert attempts(place) == (2 if point == "publish.after_rename" else 1)
    seed_attempt(small_ledger, "a3", hop=3)

    published = place.publish(small_ledger)

    assert isinstance(published, Published)
    assert published.rebuilt is None
    assert published.rows["extension_requests"] == (2 if point == "publish.before_commit" else 1)
    assert compare(small_ledger, place.target).findings == []
    assert attempts(place) == 3
    names = {path.name for path in place.target.parent.iterdir()}
    assert names == {place.target.name, place.work.name, place.work.name + ".lock"}


def test_a_failure_before_the_rename_leaves_the_old_file_and_no_rubbish(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    seed_attempt(small_ledger, "a2", hop=2)
    failpoints.arm("publish.before_rename=raise")
    with pytest.raises(failpoints.FailpointError):
        place.publish(small_ledger)
    assert attempts(place) == 1
    assert not list(place.target.parent.glob(".*.new*"))


@pytest.mark.parametrize("is_noted", [False, True])
def test_the_check_of_a_day_is_done_by_the_next_publish_if_one_failed_before_it(
    small_ledger: Ledger, place: Place, monkeypatch: pytest.MonkeyPatch, is_noted: bool
) -> None:
    read_all, checks, fails = staging_db.read_all, Counter[str](), set[str]()

    def counted(connection: duckdb.DuckDBPyConnection) -> None:
        if fails:
            raise OSError(errno.EIO, "the disk fails")
        checks["read"] += 1
        read_all(connection)

    def checks_of_a_publish(attempt: str, now_ms: int) -> int:
        before = checks["read"]
        seed_attempt(small_ledger, attempt, video=attempt)
        place.publish(small_ledger, now_ms=now_ms)
        return checks["read"] - before

    monkeypatch.setattr(staging_db, "read_all", counted)
    assert checks_of_a_publish("first", START) == 1
    assert checks_of_a_publish("same-day", START + 1) == 0
    if not is_noted:
        place.work.with_name(place.work.name + ".lock").write_text("")
    fails.add("disk")
    with pytest.raises(PublishError):  # its changes are in the working file by then
        checks_of_a_publish("next-day", START + DAY)
    fails.clear()
    assert checks_of_a_publish("later", START + DAY + 1) == 1
    assert checks_of_a_publish("later-still", START + DAY + 2) == 0
    assert attempts(place) == 5


@pytest.mark.parametrize("free", [None, 0, 1 << 40], ids=["unknown", "full", "much"])
def test_what_is_published_is_the_same_however_much_of_it_was_copied_early(
    small_ledger: Ledger, place: Place, monkeypatch: pytest.MonkeyPatch, free: int | None
) -> None:
    monkeypatch.setattr(atomic_replace, "free_bytes", lambda _folder: free)
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    for number in range(2, 5):
        seed_attempt(small_ledger, f"a{number}", hop=number)
        published = place.publish(small_ledger)
        assert isinstance(published, Published)
        assert published.rebuilt is None
        assert place.target.read_bytes() == place.work.read_bytes()
    assert place.target.stat().st_mode & 0o777 == 0o600
    assert compare(small_ledger, place.target).findings == []


def test_a_copy_that_holds_more_and_other_bytes_becomes_the_staging_file(tmp_path: Path) -> None:
    work, target = tmp_path / "work", tmp_path / "target"
    with atomic_replace.copied_early(target, work=work):  # without a file there is nothing to copy yet
        assert list(tmp_path.iterdir()) == []
    size = atomic_replace.BYTES_AT_A_TIME
    for content in (b"", b"x", b"ab" * size, b"c" * size, b"c" * size + b"d", b"", b"e" * (2 * size + 7)):
        with atomic_replace.copied_early(target, work=work):
            work.write_bytes(content)
        assert atomic_replace.replace(target, work=work, now_ms=0, thorough=False) == len(content)
        assert target.read_bytes() == content
        assert {path.name for path in tmp_path.iterdir()} == {"work", "target"}


def damage(work: Path, how: str) -> None:
    content = bytearray(work.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = bytearray()
    elif how == "no database":
        content = bytearray(b"hello" * 1000)
    elif how == "bits turned":
        for position in range(12_288 + 100, len(content), 4_096):
            content[position] ^= 0xFF
    work.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["cut", "empty", "no database", "bits turned"])
def test_a_damaged_working_file_is_made_anew(small_ledger: Ledger, place: Place, how: str) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    damage(place.work, how)
    seed_attempt(small_ledger, "a2", hop=2)

    published = place.publish(small_ledger)

    assert isinstance(published, Published)
    assert published.rebuilt
    assert published.rows["extension_requests"] == 2
    assert compare(small_ledger, place.target).findings == []


def test_a_log_without_its_working_file_is_not_taken_for_the_new_ones(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    wal = place.work.with_name(place.work.name + ".wal")
    with duckdb.connect(str(place.work)) as connection:
        connection.execute("DELETE FROM charges")
        content = wal.read_bytes()
    wal.write_bytes(content)
    place.work.unlink()
    seed_attempt(small_ledger, "a2", hop=2)
    published = place.publish(small_ledger)
    assert isinstance(published, Published)
    check_user_text(str(published.rebuilt))
    assert compare(small_ledger, place.target).findings == []


def test_an_unwritable_target_is_reported(small_ledger: Ledger, place: Place, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    elsewhere = Place(tmp_path / "a file" / "warehouse.duckdb", place.work)
    with pytest.raises(PublishError) as caught:
        elsewhere.publish(small_ledger)
    check_user_text(str(caught.value))


def test_a_damaged_published_file_is_replaced(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    damage(place.target, "cut")
    assert isinstance(place.publish(small_ledger), Published)
    assert compare(small_ledger, place.target).findings == []


def test_a_working_file_that_lost_rows_is_made_anew(small_ledger: Ledger, place: Place) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    with duckdb.connect(str(place.work)) as connection:
        connection.execute("DELETE FROM charges WHERE entry = 'settle'")
    seed_attempt(small_ledger, "a2", hop=2)
    published = place.publish(small_ledger)
    assert isinstance(published, Published)
    check_user_text(str(published.rebuilt))
    assert compare(small_ledger, place.target).findings == []


def test_a_file_of_another_schema_is_made_anew_even_if_nothing_happened(
    small_ledger: Ledger, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_attempt(small_ledger, "a1")
    with monkeypatch.context() as patched:
        patched.setattr(definitions, "schema_version", lambda: "of yesterday")
        place.publish(small_ledger)
    published = place.publish(small_ledger)
    assert isinstance(published, Published)
    assert "another schema" in str(published.rebuilt)
    about = meta(place.target)
    assert about is not None
    assert about.schema_version == definitions.schema_version()


def backup(ledger: Ledger, to: Path) -> None:
    with sqlite3.connect(str(ledger.engine.url.database)) as source, sqlite3.connect(to) as copy:
        source.backup(copy)
    source.close()
    copy.close()


@pytest.mark.parametrize("later_attempts", [0, 1, 3])
def test_a_ledger_restored_from_a_backup_is_published_as_it_is_now(
    small_ledger: Ledger, place: Place, tmp_path: Path, later_attempts: int
) -> None:
    """Publish also a ledger that has reached the same number as before, or a higher one, with other events."""
    seed_attempt(small_ledger, "a1")
    backup(small_ledger, tmp_path / "backup.sqlite")
    seed_attempt(small_ledger, "a2", hop=2)
    place.publish(small_ledger)
    small_ledger.close()
    shutil.copy(tmp_path / "backup.sqlite", tmp_path / "small.sqlite")
    restored = open_ledger(small_ledger.url)
    for number in range(later_attempts):
        seed_attempt(restored, f"other-{number}", hop=number + 2)
    assert compare(restored, place.target).findings

    published = place.publish(restored)

    assert isinstance(published, Published)
    check_user_text(str(published.rebuilt))
    assert compare(restored, place.target).findings == []
    ids = query(place.target, "SELECT attempt_id FROM extension_requests ORDER BY 1").rows
    assert ids == [("a1",)] + [(f"other-{number}",) for number in range(later_attempts)]


def test_a_failure_that_a_new_working_file_does_not_fix_is_reported_and_leaves_the_old_file(
    small_ledger: Ledger, place: Place
) -> None:
    seed_attempt(small_ledger, "a1")
    place.publish(small_ledger)
    with small_ledger.write(now_ms=START, actor="test") as tx:
        # an invalid day, which the ledger's own checks would find
        tx.connection.exec_driver_sql("UPDATE charges SET budget_day = 'no day', seq = 6")
        tx.append("late_answer", attempt_id="a1", data={})
    with pytest.raises(PublishError) as caught:
        place.publish(small_ledger)
    check_user_text(str(caught.value))
    assert attempts(place) == 1
