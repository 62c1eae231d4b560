"""Who is in the middle of a transaction: SQLite's locks by the kernel, PostgreSQL's sessions by the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text

Holds = Callable[[int], bool]
"""Whether the process with that id is in a transaction."""


def session_of(pid: int) -> str:
    """What a process calls its sessions at PostgreSQL (PGAPPNAME)."""
    return f"chaos-{pid}"


@contextmanager
def holders(ledger_url: str) -> Iterator[Holds]:
    """How to ask, by the kind of ledger."""
    if not ledger_url.startswith("postgresql"):
        yield holds_a_lock
        return
    engine = create_engine(ledger_url, isolation_level="AUTOCOMMIT")
    asked = text("SELECT 1 FROM pg_stat_activity WHERE application_name = :name AND xact_start IS NOT NULL")

    def has_a_session(pid: int) -> bool:
        with engine.connect() as connection:
            return connection.execute(asked, {"name": session_of(pid)}).first() is not None

    try:
        yield has_a_session
    finally:
        engine.dispose()


def holds_a_lock(pid: int) -> bool:
    """Whether a process holds a POSIX lock on any file, which here is SQLite's on the ledger (proc_locks(5))."""
    try:
        held = Path("/proc/locks").read_text()
    except OSError:
        return False
    rows = [row.split() for row in held.splitlines()]
    return any(row[1] == "POSIX" and row[4] == str(pid) for row in rows if len(row) > 4)
