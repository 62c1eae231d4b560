"""New ledgers without what is the same for each of them: the migrations run once a test process, and what they made is
said again to every new SQLite file; what SQLAlchemy has compiled for one ledger, the next one need not compile.
(`servers/postgres.py` does the first for PostgreSQL.) Tests of the migrations themselves are `really_migrated`."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from extend_pipeline.ledger.database import Ledger
from extend_pipeline_tests.support.processes.compiled import share_compiled

REALLY_MIGRATED: Final = "really_migrated"
_BOUNDS_OF_A_DUMP: Final = ("BEGIN TRANSACTION;", "COMMIT;")
_really_migrate: Final = Ledger.migrate


def migrate_quickly(patch: pytest.MonkeyPatch) -> None:
    """Let `open_ledger` do so while the patch lasts."""
    statements = _what_migrations_say()

    def migrate(ledger: Ledger) -> None:
        _lay(ledger, statements)
        _really_migrate(ledger)  # finds the newest form, and looks no further
        share_compiled(ledger)

    patch.setattr(Ledger, "migrate", migrate)


@cache
def _what_migrations_say() -> tuple[str, ...]:
    with TemporaryDirectory(prefix="ep-ledger-") as folder:
        file = Path(folder) / "ledger.sqlite"
        ledger = Ledger(f"sqlite:///{file}")  # without an id: each ledger that is laid from it gets its own
        _really_migrate(ledger)
        ledger.close()
        with closing(sqlite3.connect(file)) as made:
            return tuple(statement for statement in made.iterdump() if statement not in _BOUNDS_OF_A_DUMP)


def _lay(ledger: Ledger, statements: Sequence[str]) -> None:
    """Say it to a file that is new; in one transaction, since others may open it too."""
    file = ledger.engine.url.database
    if ledger.dialect != "sqlite" or file is None or not Path(file).exists() or Path(file).stat().st_size:
        return
    with ledger.engine.connect() as connection:
        connection.info["mode"] = "write"
        with connection.begin():
            if not connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
                for statement in statements:
                    connection.exec_driver_sql(statement)
