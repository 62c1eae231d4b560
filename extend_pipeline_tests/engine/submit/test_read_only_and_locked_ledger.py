"""A ledger that is read-only, and one that another process has locked: nothing is sent, no paid response is lost, the
failure is reported, and afterwards everything completes."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.submit.spool import UnrecordedError
from extend_pipeline.ledger import database, tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive, impatient_provider
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.processes.bounded import run_bounded
from extend_pipeline_tests.support.user_texts import check_user_text


def ledger_file(home: EngineHome) -> Path:
    return home.path / "state" / "ledger.sqlite"


def finishes(home: EngineHome, *, charges: int) -> None:
    with home.open() as pipeline:
        done = drive(pipeline, publish=True)
        assert {video.state for video in done.videos} == {VideoState.COMPLETE}, done.videos
        assert reckon(home, pipeline.ledger).charges == charges


def submits(home: EngineHome) -> int:
    """Return how many POSTs the provider has received, refused ones included."""
    routes = home.sandbox.requests()["by_route"]
    return sum(count for route, count in routes.items() if route.startswith("POST "))


def prepared(home: EngineHome, count: int) -> None:
    """Make the ledger and declare the videos, and send nothing."""
    home.seeded(count, steps=1)
    assert run_bounded(home, "pause").returncode == 0
    assert run_bounded(home, "advance").returncode in (0, 1)
    assert run_bounded(home, "resume").returncode == 0
    assert home.sandbox.charges()["charges"] == []


class Between:
    """The account's real provider; `interrupt` is called after the response to a POST, before it is returned."""

    def __init__(self, account: Account, settings: Settings, interrupt: Callable[[], object]) -> None:
        self._provider = impatient_provider(account, settings=settings)
        self._interrupt = interrupt

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def submit(self, request: Any) -> Any:
        outcome = self._provider.submit(request)
        self._interrupt()
        return outcome


def between(interrupt: Callable[[], object]) -> Any:
    def make(account: Account, *, settings: Settings) -> Any:
        return Between(account, settings, interrupt)

    return make


# Read-only


@pytest.mark.parametrize("read_only", ["the file", "the file and its folder"])
def test_with_a_read_only_ledger_nothing_is_sent_and_the_error_names_it(read_only: str, home: EngineHome) -> None:
    prepared(home, 3)
    file = ledger_file(home)
    file.chmod(0o400)
    if read_only != "the file":
        file.parent.chmod(0o500)
    try:
        done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "20", plain_user=True)
    finally:
        file.parent.chmod(0o700)
        file.chmod(0o600)
    assert done.returncode in (1, 2), done.stderr
    assert "ledger" in done.stderr
    # without its folder no film could be written either, which is noticed before a claim
    named = "readonly" if read_only == "the file" else f"{file.parent} can't be written"
    assert named in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert home.sandbox.charges()["charges"] == []
    assert submits(home) == 0
    finishes(home, charges=3)
    assert submits(home) == 3


def test_status_works_with_a_read_only_ledger(home: EngineHome) -> None:
    prepared(home, 2)
    file = ledger_file(home)
    file.chmod(0o400)
    try:
        done = run_bounded(home, "status", plain_user=True)
    finally:
        file.chmod(0o600)
    assert "v000" in done.stdout, done.stderr


def test_a_response_is_spooled_when_the_ledger_becomes_read_only(home: EngineHome) -> None:
    home.seeded(2, steps=1)  # as many as a new account is sent before it has replied
    opened: list[Pipeline] = []
    first = threading.Lock()

    def lock_up() -> None:
        if first.acquire(blocking=False):
            with opened[0].ledger.engine.connect() as connection:
                connection.info["mode"] = "read"
                connection.exec_driver_sql("PRAGMA query_only = ON")

    with home.open(make_provider=between(lock_up)) as pipeline:
        opened.append(pipeline)
        with pytest.raises(UnrecordedError, match="readonly"):
            advance(pipeline, publish=False)
        with pipeline.ledger.read() as connection:
            states = list(connection.execute(select(tables.attempts.c.state)).scalars())
        assert states == ["sending"] * 2
    assert len(home.sandbox.charges()["charges"]) == 2
    finishes(home, charges=2)


# Locked


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Hold an open write transaction of another connection on the file."""
    connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a writer wait for 0.2 s instead of two minutes."""
    monkeypatch.setattr(database, "BUSY_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_with_a_locked_ledger_nothing_is_sent(home: EngineHome) -> None:
    prepared(home, 3)
    with held(ledger_file(home)), home.open() as pipeline:
        for _ in range(2):
            with pytest.raises(OperationalError, match="locked"):
                advance(pipeline, publish=False)
    assert home.sandbox.charges()["charges"] == []
    finishes(home, charges=3)


@pytest.mark.usefixtures("impatient")
def test_a_response_is_spooled_while_the_ledger_is_locked(home: EngineHome) -> None:
    home.seeded(2, steps=1)
    locking = None
    first = threading.Lock()

    def lock() -> None:
        nonlocal locking
        if first.acquire(blocking=False):
            locking = sqlite3.connect(ledger_file(home), isolation_level=None, check_same_thread=False)
            locking.execute("BEGIN IMMEDIATE")

    with home.open(make_provider=between(lock)) as pipeline:
        with pytest.raises(UnrecordedError, match="locked"):
            advance(pipeline, publish=False)
        assert len(home.sandbox.charges()["charges"]) == 2
        assert locking is not None
        locking.execute("ROLLBACK")
        locking.close()
        for _ in range(20):
            advance(pipeline, publish=False)
    finishes(home, charges=2)


def test_a_lock_that_ends_in_time_costs_only_the_wait(home: EngineHome) -> None:
    prepared(home, 2)
    locked, released = threading.Event(), threading.Event()

    def hold() -> None:
        with held(ledger_file(home)):
            locked.set()
            released.wait(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(5)
    finishes(home, charges=2)
    holder.join()


@pytest.mark.usefixtures("impatient")
def test_a_command_reports_that_the_ledger_is_locked_and_what_to_do(
    home: EngineHome, capsys: pytest.CaptureFixture[str]
) -> None:
    from extend_pipeline.commands.render.home import use_home
    from extend_pipeline.commands.shared.errors import report_error

    prepared(home, 1)
    with held(ledger_file(home)), home.open() as pipeline:
        with pytest.raises(OperationalError) as caught:
            advance(pipeline, publish=False)
        use_home(home.path)
        try:
            assert report_error(caught.value) == 1
        finally:
            use_home(None)
    message = capsys.readouterr().err
    check_user_text(message)
