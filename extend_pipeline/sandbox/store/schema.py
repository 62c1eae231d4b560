"""The tables of the sandbox's memory, and how a file of an earlier version gets the columns that came later."""

from __future__ import annotations

import sqlite3

TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS videos (
    video_id TEXT PRIMARY KEY, account TEXT NOT NULL, surface TEXT NOT NULL, model TEXT NOT NULL, mode TEXT NOT NULL,
    duration_ms INTEGER NOT NULL, created_ms INTEGER NOT NULL, parent_id TEXT, root_id TEXT NOT NULL,
    hop INTEGER NOT NULL, media_key TEXT NOT NULL, url_version INTEGER NOT NULL,
    segment INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS source_urls (url TEXT PRIMARY KEY, video_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tasks (
    seq INTEGER PRIMARY KEY, task_id TEXT NOT NULL UNIQUE, account TEXT NOT NULL, surface TEXT NOT NULL,
    external_task_id TEXT, parent_video_id TEXT NOT NULL, video_id TEXT UNIQUE, watermark INTEGER, callback_url TEXT,
    created_ms INTEGER NOT NULL, processing_ms INTEGER NOT NULL, done_ms INTEGER NOT NULL, failure TEXT,
    units_milli INTEGER NOT NULL, refunded INTEGER NOT NULL, details TEXT NOT NULL DEFAULT '{}',
    UNIQUE (surface, account, external_task_id));
CREATE INDEX IF NOT EXISTS tasks_by_end ON tasks (surface, account, done_ms);
CREATE INDEX IF NOT EXISTS tasks_by_age ON tasks (surface, account, seq);
CREATE TABLE IF NOT EXISTS charges (
    task_id TEXT PRIMARY KEY, external_task_id TEXT, account TEXT NOT NULL, video_id TEXT NOT NULL,
    fingerprint TEXT NOT NULL, units_milli INTEGER NOT NULL, at_ms INTEGER NOT NULL, refunded_ms INTEGER);
CREATE TABLE IF NOT EXISTS faults (
    position INTEGER PRIMARY KEY, spec TEXT NOT NULL, skipped INTEGER NOT NULL, fired INTEGER NOT NULL);
"""
# Appended to tables that a file may already have; a new column must come last and have a default.
_LATER = {"videos": ("segment", "INTEGER NOT NULL DEFAULT 0"), "tasks": ("details", "TEXT NOT NULL DEFAULT '{}'")}


def add_later_columns(db: sqlite3.Connection) -> None:
    """Bring an older file's tables up to TABLES; nothing happens to a new one."""
    for table, (column, kind) in _LATER.items():
        there = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        if column not in there:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
