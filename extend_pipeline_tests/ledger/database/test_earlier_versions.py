"""A ledger of an earlier version is migrated, keeps its rows and what was decided, and goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Table, insert, inspect, select, text

from extend_pipeline.ledger import database, tables
from extend_pipeline.ledger.database import SCHEMA_HEAD, Ledger, open_ledger
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are compared too
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write.catalog_sync import LastDeclared, last_declared
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.ledger.steps import NOON, claim, request, run_through

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)


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
