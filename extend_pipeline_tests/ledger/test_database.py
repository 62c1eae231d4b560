"""Opening, migrating, forking, and transactions of several processes, on both databases."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, event, func, insert, inspect, select, text
from sqlalchemy.pool import Pool

from extend_pipeline.base.version import program_version
from extend_pipeline.ledger import database, tables
from extend_pipeline.ledger.address import shown_address
from extend_pipeline.ledger.database import SCHEMA_HEAD, Ledger, LedgerError, find_ledger, open_ledger
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are compared too
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.rows import AccountRow, BackoffRow, ReconciliationRow, VideoRow
from extend_pipeline.ledger.write import controls
from extend_pipeline.ledger.write.catalog_sync import LastDeclared, last_declared
from extend_pipeline.ledger.write.lower_charges import LowerCharge
from extend_pipeline.ledger.write.statements import StatementRow
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.ledger.steps import NOON, claim, request, run_through
from extend_pipeline_tests.support.processes.another_user import as_another_user
from extend_pipeline_tests.support.processes.children import CONTEXT
from extend_pipeline_tests.support.user_texts import check_user_text

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)


# indexes over an expression are tested in `ledger/test_files.py`
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection", "ignore:autogenerate skipping metadata-specified")
def test_migrations_make_exactly_the_tables_that_the_code_reads(ledger: Ledger) -> None:
    with ledger.engine.connect() as connection:
        connection.info["mode"] = "read"
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == SCHEMA_HEAD


def test_a_ledger_is_found_and_opened_over_one_connection(ledger: Ledger) -> None:
    connected: list[Any] = []

    def count(*arguments: Any) -> None:
        connected.append(arguments)

    event.listen(Pool, "connect", count)
    try:
        found = find_ledger(ledger.url)
    finally:
        event.remove(Pool, "connect", count)
    assert found is not None
    found.close()
    assert len(connected) == 1


def test_no_ledger_is_found_where_none_is_and_none_is_made(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    assert find_ledger(f"sqlite:///{file}") is None
    assert not file.exists()
    file.touch()
    assert find_ledger(f"sqlite:///{file}") is None
    assert file.stat().st_size == 0
    with pytest.raises(LedgerError):
        find_ledger(f"sqlite:///{tmp_path}")


def test_the_partial_indexes_are_there_with_their_conditions(ledger: Ledger) -> None:
    sql = (
        "SELECT sql FROM sqlite_master WHERE name LIKE 'ux_%'"
        if ledger.dialect == "sqlite"
        else "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'ux_%'"
    )
    with ledger.read() as connection:
        indexes = sorted(connection.execute(text(sql)).scalars())
    assert len(indexes) == 3
    assert all("UNIQUE" in index and "WHERE" in index for index in indexes)


def test_opening_again_changes_nothing(ledger_url: str) -> None:
    first = open_ledger(ledger_url)
    run_through(first)
    first.close()
    second = open_ledger(ledger_url)
    try:
        assert check_invariants(second) == []
        with second.read() as connection:
            assert connection.execute(select(func.count()).select_from(tables.attempts)).scalar_one() == 1
    finally:
        second.close()


@pytest.mark.parametrize("revision", ["0001", "0002", "0009", "0010", "0013"])
def test_a_ledger_of_an_earlier_version_keeps_its_rows_and_goes_on(
    revision: str, ledger_url: str, tmp_path: Path
) -> None:
    full = open_ledger(f"sqlite:///{tmp_path}/full.sqlite")
    run_through(full, "harbour")
    claim(full, request("lighthouse"))
    old = Ledger(ledger_url)
    upgrade(old, revision)
    with full.read() as source, old.engine.connect() as target:
        target.info["mode"] = "write"
        with target.begin():
            for table in tables.metadata.sorted_tables:
                copy_what_was_there(table, source, target)
    full.close()
    old.close()
    now = open_ledger(ledger_url)
    try:
        assert check_invariants(now) == []
        with now.read() as connection:
            rows = connection.execute(select(tables.attempts.c.video_key, tables.attempts.c.state))
            assert {row.video_key: row.state for row in rows} == {"harbour": "stored", "lighthouse": "claimed"}
            assert MigrationContext.configure(connection).get_current_revision() == SCHEMA_HEAD
        run_through(now, "fog")
        assert check_invariants(now) == []
    finally:
        now.close()


@pytest.mark.parametrize("digest", ["abc", "abc 1f.2e machine:/data/a home"])
def test_the_catalogue_that_was_declared_last_is_known_after_a_migration(digest: str, ledger_url: str) -> None:
    old = Ledger(ledger_url)
    upgrade(old, "0013")
    with old.engine.connect() as connection:
        connection.info["mode"] = "write"
        with connection.begin():
            row = {"id": 1, "digest": digest, "keys_seq": 7}
            connection.execute(text("INSERT INTO declared_catalogue VALUES (:id, :digest, :keys_seq)"), row)
    old.close()
    now = open_ledger(ledger_url)
    with now.read() as connection:
        assert last_declared(connection) == LastDeclared("abc", 7)
    now.close()


OLD_WORD: Final = "unsound"  # a word of the version before, which is no longer used
OLD_MESSAGE: Final = f"what came is no {'sound'} video"

NOTES_OF_BEFORE = {
    "": LastLook(),
    "upstream: HTTP 500": LastLook("upstream: HTTP 500"),
    "no room: the disk is full": LastLook("the disk is full", LookCause.NO_ROOM),
    "refused: not among the hosts": LastLook("not among the hosts", LookCause.FETCH_REFUSED),
    "no control: no task is known": LastLook("no control: no task is known", LookCause.NO_CONTROL),
    "its key was found on task 7, not ours": LastLook("its key was found on task 7, not ours", LookCause.FOREIGN_TASK),
    "not found 2 times": LastLook("not found 2 times", LookCause.NOT_FOUND),
    "not there yet: a callback named 7": LastLook("not there yet: a callback named 7", LookCause.NOT_THERE),
    f"{OLD_WORD} abc123 {OLD_MESSAGE}": LastLook(OLD_MESSAGE, LookCause.INVALID_FILE, sha256="abc123"),
    "said to be gone, in a row: 4 since 2026-01-02T03:04:05.678000+00:00; HTTP 403": LastLook(
        "said to be gone, in a row: 4 since 2026-01-02T03:04:05.678000+00:00; HTTP 403",
        LookCause.SAID_GONE,
        refusals=4,
        refused_since=1_767_323_045_678,
    ),
    "said to be gone, in a row: 1 since 2026-01-02T03:04:05+00:00; HTTP 404": LastLook(
        "said to be gone, in a row: 1 since 2026-01-02T03:04:05+00:00; HTTP 404",
        LookCause.SAID_GONE,
        refusals=1,
        refused_since=1_767_323_045_000,
    ),
}
"""The notes that the version before wrote, and their meaning."""


def test_decisions_in_notes_of_the_version_before_are_kept(ledger_url: str, tmp_path: Path) -> None:
    full = open_ledger(f"sqlite:///{tmp_path}/full.sqlite")
    ids = [claim(full, request(f"v{number}")).claimed[0].attempt_id for number in range(len(NOTES_OF_BEFORE))]
    old = Ledger(ledger_url)
    upgrade(old, "0009")
    with full.read() as source, old.engine.connect() as target:
        target.info["mode"] = "write"
        with target.begin():
            for table in tables.metadata.sorted_tables:
                copy_what_was_there(table, source, target)
            for attempt_id, note in zip(ids, NOTES_OF_BEFORE, strict=True):
                row = {"attempt_id": attempt_id, "account": "kling-main", "due_at": NOON, "tries": 3, "note": note}
                target.execute(insert(tables.schedule).values(**row, owner="worker"))
    full.close()
    old.close()
    now = open_ledger(ledger_url)
    try:
        with now.read() as connection:
            hints = queries.hints(connection, ids)
        looks = [replace(look, tries=3) for look in NOTES_OF_BEFORE.values()]
        assert [hints[attempt_id].look for attempt_id in ids] == looks
        assert {(hint.due_at, hint.owner) for hint in hints.values()} == {(NOON, "worker")}
    finally:
        now.close()


def test_rows_have_the_columns_of_their_tables_in_order() -> None:
    small = {
        tables.accounts: AccountRow,
        tables.backoff: BackoffRow,
        tables.reconciliations: ReconciliationRow,
        tables.lower_charges: LowerCharge,
        tables.statements: StatementRow,
    }
    shapes = {table: [field.name for field in fields(shape)] for table, shape in small.items()}
    shapes |= {tables.attempts: list(AttemptRow._fields), tables.videos: list(VideoRow._fields)}
    renamed = {"unread_since": "unavailable_since", "unread_message": "unavailable_message"}
    assert shapes == {table: [renamed.get(column.name, column.name) for column in table.c] for table in shapes}


def upgrade(ledger: Ledger, revision: str) -> None:
    """Migrate an empty ledger to an earlier revision."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with ledger.engine.connect() as connection:
        connection.info["mode"] = "write"
        with connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, revision)


def copy_what_was_there(table: Table, source: Connection, target: Connection) -> None:
    """Copy a table's rows, as far as that revision had the table and its columns."""
    inspector = inspect(target)
    if not inspector.has_table(table.name):
        return
    had = {column["name"] for column in inspector.get_columns(table.name)}
    for row in source.execute(select(table)).mappings():
        target.execute(insert(table).values({key: value for key, value in row.items() if key in had}))


def _open_at_once(url: str, start: Any, results: Any) -> None:
    start.wait(30)
    try:
        ledger = open_ledger(url)
        claim(ledger, request(f"v{os.getpid()}"))
        ledger.close()
        results.put("")
    except Exception as error:
        results.put(repr(error))
        raise


def test_processes_that_open_a_new_ledger_at_once_all_find_it_ready(ledger_url: str) -> None:
    start, results = CONTEXT.Barrier(4), CONTEXT.Queue()
    children = [CONTEXT.Process(target=_open_at_once, args=(ledger_url, start, results), daemon=True) for _ in range(4)]
    for child in children:
        child.start()
    assert [results.get(timeout=60) for _ in children] == [""] * 4
    for child in children:
        child.join(30)
    results.close()
    results.join_thread()
    ledger = open_ledger(ledger_url)
    try:
        with ledger.read() as connection:
            assert connection.execute(select(func.count()).select_from(tables.ledger_head)).scalar_one() == 1
            assert connection.execute(select(func.count()).select_from(tables.attempts)).scalar_one() == 4
        assert check_invariants(ledger) == []
    finally:
        ledger.close()


def test_threads_may_open_ledgers_at_once(tmp_path: Path) -> None:
    failed: list[Exception] = []

    def open_numbered(number: int) -> None:
        try:
            open_ledger(f"sqlite:///{tmp_path}/{number % 4}.sqlite").close()
        except Exception as error:  # noqa: BLE001 - the main thread asserts it
            failed.append(error)

    threads = [threading.Thread(target=open_numbered, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def _refusal(url: str) -> str:
    with pytest.raises(LedgerError) as caught:
        open_ledger(url)
    return str(caught.value)


def test_an_impossible_path_is_reported_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    check_user_text(_refusal(f"sqlite:///{tmp_path}/file/ledger.sqlite"))
    (tmp_path / "folder").mkdir()
    check_user_text(_refusal(f"sqlite:///{tmp_path}/folder"))
    (tmp_path / "notes.txt").write_text("not a database " * 100)
    check_user_text(_refusal(f"sqlite:///{tmp_path}/notes.txt"))
    assert (tmp_path / "notes.txt").read_text().startswith("not a database")


def test_a_read_only_folder_is_reported() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        locked = Path(place) / "locked"
        locked.mkdir(mode=0o555)
        check_user_text(as_another_user(_refusal, f"sqlite:///{locked}/ledger.sqlite"))


def test_an_unreachable_database_is_reported_without_the_password() -> None:
    refusal = _refusal("postgresql://ann:hidden-word@127.0.0.1:1/ledger")
    assert "hidden-word" not in refusal
    check_user_text(refusal)


def test_a_ledger_file_is_for_its_owner_only(tmp_path: Path) -> None:
    open_ledger(f"sqlite:///{tmp_path}/state/ledger.sqlite").close()
    assert (tmp_path / "state" / "ledger.sqlite").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_sqlite_writes_commits_to_disk(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.sqlite")
    try:
        with ledger.read() as connection:
            names = ("journal_mode", "synchronous", "foreign_keys")
            modes = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]
            assert modes == ["truncate", 3, 1]
    finally:
        ledger.close()
    assert sqlite3.sqlite_version_info >= (3, 35)


def _claims_after_a_fork(ledger: Ledger) -> int:
    """Fork, let the child claim through the same object, and return the child's exit code."""
    child = os.fork()
    if child == 0:
        try:
            code = 0 if claim(ledger, request("in-the-child")).claimed else 1
        except BaseException:  # noqa: BLE001 - a forked child must never return into pytest
            code = 2
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_opens_its_own_connection_and_leaves_its_parents_alone(ledger: Ledger) -> None:
    claim(ledger, request("before"))
    if ledger.dialect == "postgresql":
        with ledger.read() as connection:
            first = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
            assert _claims_after_a_fork(ledger) == 0
            assert connection.execute(select(tables.ledger_head.c.seq)).scalar_one() == first
    else:  # SQLite itself forbids to fork while a transaction is open
        assert _claims_after_a_fork(ledger) == 0
    assert claim(ledger, request("after")).claimed
    with ledger.read() as connection:
        keys = set(connection.execute(select(tables.attempts.c.video_key)).scalars())
    assert keys == {"before", "in-the-child", "after"}
    assert check_invariants(ledger) == []


def test_a_reader_sees_one_moment_while_a_writer_commits(ledger_url: str, ledger: Ledger) -> None:
    writing_ledger = open_ledger(ledger_url)
    done = threading.Event()

    def write() -> None:
        claim(writing_ledger, request("meanwhile"))
        done.set()

    try:
        with ledger.read() as connection:
            before = connection.execute(select(tables.ledger_head.c.seq)).scalar_one()
            writer = threading.Thread(target=write)
            writer.start()
            if ledger.dialect == "postgresql":
                assert done.wait(20)  # readers block no writer
            assert connection.execute(select(func.count()).select_from(tables.events)).scalar_one() == before
            assert connection.execute(select(tables.attempts)).first() is None
        assert done.wait(20)
        writer.join()
        with ledger.read() as connection:
            assert connection.execute(select(tables.ledger_head.c.seq)).scalar_one() == before + 1
    finally:
        writing_ledger.close()


def test_nothing_is_written_through_a_reader_of_postgresql(ledger: Ledger) -> None:
    if ledger.dialect == "sqlite":
        with ledger.read() as connection:
            assert connection.info["mode"] == "read"
        return
    with pytest.raises(Exception, match="read-only"), ledger.read() as connection:
        connection.execute(tables.ledger_head.update().values(seq=7))


def _hold(url: str, holding: Any, go: Any) -> None:
    ledger = open_ledger(url)
    with ledger.write(now_ms=NOON, actor="holder") as tx:
        controls.pause(tx, "kling-main", why="held")
        holding.set()
        go.wait(30)
    ledger.close()


def test_a_writer_waits_for_the_writer_of_another_process_and_then_sees_what_it_did(
    ledger_url: str, ledger: Ledger
) -> None:
    holding, go = CONTEXT.Event(), CONTEXT.Event()
    holder = CONTEXT.Process(target=_hold, args=(ledger_url, holding, go), daemon=True)
    holder.start()
    assert holding.wait(30)
    results: list[Any] = []
    waiting = threading.Thread(target=lambda: results.append(claim(ledger, request("late"))))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    assert results == []
    go.set()
    waiting.join(30)
    holder.join(30)
    assert [refused.reason for refused in results[0].refused] == ["paused"]
    assert check_invariants(ledger) == []


def test_numbers_of_events_never_interleave_with_several_writers(ledger_url: str, ledger: Ledger) -> None:
    other_ledgers = [open_ledger(ledger_url) for _ in range(3)]

    def write(writer: Ledger, name: str) -> None:
        for number in range(8):
            run_through(writer, f"{name}-{number}")

    threads = [
        threading.Thread(target=write, args=(writer, str(n))) for n, writer in enumerate([ledger, *other_ledgers])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for writer in other_ledgers:
        writer.close()
    with ledger.read() as connection:
        numbers = list(connection.execute(select(tables.events.c.seq).order_by(tables.events.c.seq)).scalars())
    assert numbers == list(range(1, 4 * 8 * 5 + 1))
    assert check_invariants(ledger) == []


def test_a_ledger_of_a_newer_version_is_refused_unchanged(ledger_url: str, ledger: Ledger) -> None:
    with ledger.write(now_ms=NOON, actor="newer") as tx:
        tx.connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    check_user_text(_refusal(ledger_url), without={shown_address(ledger_url): "LEDGER", program_version(): "VERSION"})
