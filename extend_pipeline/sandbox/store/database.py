"""The sandbox's memory on disk: one SQLite file, committed before any answer that it backs."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

from extend_pipeline.sandbox.config import SandboxError
from extend_pipeline.sandbox.store.records import Bill, Charge, Task, Video
from extend_pipeline.sandbox.store.schema import TABLES, add_later_columns


class Store:
    """Typed reads and writes over one connection, used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create the file; SandboxError if another sandbox has it open."""
        # The server's thread is not the one that opens the file, and it alone uses it from then on.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            # Exclusive: two servers on one state would break the charge book. synchronous=OFF: a killed process
            # loses nothing that was committed; only a power cut could, and a sandbox may lose to that.
            self._db.executescript(
                "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=OFF; BEGIN IMMEDIATE;"
                f"{TABLES} COMMIT;"
            )
            add_later_columns(self._db)
        except sqlite3.OperationalError as problem:
            self._db.close()
            message = f"{path} cannot be opened ({problem}). Is another sandbox running on this state directory?"
            raise SandboxError(message) from problem
        # Kept, so that links issued before a restart still work after it.
        self.signing_key = bytes.fromhex(self._remember("signing_key", secrets.token_hex(16)))

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Yield all writes inside are committed together, or none; a transaction inside another is part of it."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _remember(self, key: str, value: str) -> str:
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))
        return str(self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()[0])

    def add_video(self, video: Video) -> None:
        """Write a new video."""
        self._db.execute("INSERT INTO videos VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)", astuple(video))

    def videos(self, ids: Iterable[str | None]) -> dict[str, Video]:
        """Return those of the ids that exist; cheap for hundreds at once."""
        wanted = json.dumps([video_id for video_id in ids if video_id is not None])
        sql = "SELECT * FROM videos WHERE video_id IN (SELECT value FROM json_each(?))"
        return {row[0]: _video(row) for row in self._db.execute(sql, (wanted,))}

    def video(self, video_id: str) -> Video | None:
        """Return one video, whether its task has ended or not."""
        row = self._db.execute("SELECT * FROM videos WHERE video_id = ?", (video_id,)).fetchone()
        return None if row is None else _video(row)

    def add_source_url(self, url: str, video_id: str) -> None:
        """Let a URL elsewhere stand for a video; nothing happens if it does already."""
        self._db.execute("INSERT OR IGNORE INTO source_urls VALUES (?, ?)", (url, video_id))

    def video_at(self, url: str) -> str | None:
        """Return the id of the video that a URL elsewhere stands for."""
        row = self._db.execute("SELECT video_id FROM source_urls WHERE url = ?", (url,)).fetchone()
        return None if row is None else str(row[0])

    def lineage(self, video: Video) -> list[Video]:
        """Return the video and its ancestors, source first."""
        chain = [video]
        while (parent_id := chain[0].parent_id) is not None:
            parent = self.video(parent_id)
            if parent is None:
                message = f"video {parent_id}, the parent of {chain[0].video_id}, is missing in the sandbox's state"
                raise SandboxError(message)
            chain.insert(0, parent)
        return chain

    def withdraw_links(self, video_id: str) -> None:
        """Make every URL issued so far for a video expired; the next query issues a good one."""
        self._db.execute("UPDATE videos SET url_version = url_version + 1 WHERE video_id = ?", (video_id,))

    def next_seq(self) -> int:
        """Return the number of the next task."""
        return int(self._db.execute("SELECT COALESCE(MAX(seq), 0) + 1 FROM tasks").fetchone()[0])

    def add_task(self, task: Task, video: Video | None, charge: Charge) -> None:
        """Write a task, its result to be and its charge line, in one commit."""
        with self.transaction():
            row = (*astuple(task)[:-1], json.dumps(task.details))
            self._db.execute("INSERT INTO tasks VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", row)
            if video is not None:
                self.add_video(video)
            self._db.execute("INSERT INTO charges VALUES (?,?,?,?,?,?,?,?)", astuple(charge))

    def task(self, surface: str, account: str, key: str) -> Task | None:
        """Return a task of an account by its own id, else by the client's."""
        return self.task_with_id(surface, account, key) or self.task_with_external_id(surface, account, key)

    def task_with_id(self, surface: str, account: str, task_id: str) -> Task | None:
        """Return a task of an account by its own id alone."""
        sql = "SELECT * FROM tasks WHERE task_id = ? AND surface = ? AND account = ?"
        return self._first_task(sql, (task_id, surface, account))

    def task_with_external_id(self, surface: str, account: str, external_task_id: str) -> Task | None:
        """Return a task of an account by the client's id alone."""
        sql = "SELECT * FROM tasks WHERE external_task_id = ? AND surface = ? AND account = ?"
        return self._first_task(sql, (external_task_id, surface, account))

    def task_that_made(self, video_id: str) -> Task | None:
        """Return the task whose result a video is."""
        return self._first_task("SELECT * FROM tasks WHERE video_id = ?", (video_id,))

    def _first_task(self, sql: str, values: tuple[str, ...]) -> Task | None:
        row = self._db.execute(sql, values).fetchone()
        return None if row is None else _task(row)

    def page(self, surface: str, account: str, *, offset: int, limit: int) -> list[Task]:
        """Return an account's tasks, newest first."""
        sql = "SELECT * FROM tasks WHERE surface = ? AND account = ? ORDER BY seq DESC LIMIT ? OFFSET ?"
        return [_task(row) for row in self._db.execute(sql, (surface, account, limit, offset))]

    def all_tasks(self) -> list[Task]:
        """Return every task, oldest first."""
        return [_task(row) for row in self._db.execute("SELECT * FROM tasks ORDER BY seq")]

    def surfaces(self) -> dict[str, str]:
        """Return which surface each account that ever had a task belongs to."""
        return dict(self._db.execute("SELECT DISTINCT account, surface FROM tasks"))

    def in_flight(self, surface: str, account: str, now_ms: int) -> int:
        """Return how many tasks have not ended."""
        sql = "SELECT COUNT(*) FROM tasks WHERE surface = ? AND account = ? AND done_ms > ?"
        return int(self._db.execute(sql, (surface, account, now_ms)).fetchone()[0])

    def charges(self) -> list[Charge]:
        """Return the charge book, in the order of writing."""
        return [Charge(*row) for row in self._db.execute("SELECT * FROM charges ORDER BY rowid")]

    def bills(
        self, account: str, now_ms: int, *, since_ms: int, until_ms: int, after_row: int, limit: int
    ) -> list[Bill]:
        """Return an account's charges of a time, but for those refunded by now, in the order of writing; those after a
        row."""
        sql = (
            "SELECT * FROM (SELECT rowid AS row, task_id, units_milli, SUM(units_milli) OVER (ORDER BY rowid), at_ms"
            " FROM charges WHERE account = ? AND (refunded_ms IS NULL OR refunded_ms > ?))"
            " WHERE at_ms >= ? AND at_ms < ? AND row > ? ORDER BY row LIMIT ?"
        )
        return [Bill(*row) for row in self._db.execute(sql, (account, now_ms, since_ms, until_ms, after_row, limit))]

    def opened_ms(self, now_ms: int) -> int:
        """Return when this memory was first asked that."""
        return int(self._remember("opened_ms", str(now_ms)))

    def spent_milli(self, account: str, now_ms: int) -> int:
        """Return thousandths of units that an account has spent and not got back by now."""
        sql = (
            "SELECT COALESCE(SUM(units_milli), 0) FROM charges"
            " WHERE account = ? AND (refunded_ms IS NULL OR refunded_ms > ?)"
        )
        return int(self._db.execute(sql, (account, now_ms)).fetchone()[0])

    def fault_rows(self) -> list[tuple[int, str, int, int]]:
        """(position, spec as JSON, skipped, fired), in order."""
        return list(self._db.execute("SELECT * FROM faults ORDER BY position"))

    def save_faults(self, rows: Sequence[tuple[int, str, int, int]]) -> None:
        """Write or overwrite fault rows."""
        with self.transaction():
            self._db.executemany("INSERT OR REPLACE INTO faults VALUES (?,?,?,?)", rows)

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._db.execute("DELETE FROM faults")


def _task(row: Sequence[object]) -> Task:
    """SQLite has no booleans; everything else is kept as it was given."""
    values: list[object] = list(row)
    values[7] = None if values[7] is None else bool(values[7])
    values[14] = bool(values[14])
    values[15] = json.loads(str(values[15]))
    return Task(*values)  # type: ignore[arg-type]


def _video(row: Sequence[object]) -> Video:
    values: list[object] = [*row[:-1], bool(row[-1])]
    return Video(*values)  # type: ignore[arg-type]
