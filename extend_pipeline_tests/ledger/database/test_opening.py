"""A ledger is found or made, once, by however many processes and threads, and its file is its owner's."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select, text
from sqlalchemy.pool import Pool

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, LedgerError, find_ledger, open_ledger
from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are compared too
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.ledger.steps import claim, request, run_through
from extend_pipeline_tests.support.processes.children import CONTEXT

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)


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
