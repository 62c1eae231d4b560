"""A ledger that may not be written, and one that somebody else holds: nothing is sent, no paid answer is lost, what
failed is said, and afterwards everything completes."""

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
    """How many POSTs the provider has seen, refused ones included."""
    routes = home.sandbox.requests()["by_route"]
    return sum(count for route, count in routes.items() if route.startswith("POST "))


def prepared(home: EngineHome, count: int) -> None:
    """A home whose ledger is there and knows its videos, and which has sent nothing."""
    home.seeded(count, steps=1)
    assert run_bounded(home, "pause").returncode == 0
    assert run_bounded(home, "advance").returncode in (0, 1)
    assert run_bounded(home, "resume").returncode == 0
    assert home.sandbox.charges()["charges"] == []


class Between:
    """The account's real provider; something happens between an answer to a POST and whoever asked."""

    def __init__(self, account: Account, settings: Settings, happens: Callable[[], object]) -> None:
        self._provider = impatient_provider(account, settings=settings)
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

    def submit(self, request: Any) -> Any:
        outcome = self._provider.submit(request)
        self._happens()
        return outcome


def between(happens: Callable[[], object]) -> Any:
    def make(account: Account, *, settings: Settings) -> Any:
        return Between(account, settings, happens)

    return make


# Read-only


@pytest.mark.parametrize("what", ["the file", "the file and its folder"])
def test_a_ledger_that_may_not_be_written_sends_nothing_and_says_so(what: str, home: EngineHome) -> None:
    prepared(home, 3)
    file = ledger_file(home)
    file.chmod(0o400)
    if what != "the file":
        file.parent.chmod(0o500)
    try:
        done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "20", plain_user=True)
    finally:
        file.parent.chmod(0o700)
        file.chmod(0o600)
    assert done.returncode in (1, 2), done.stderr
    assert "ledger" in done.stderr
    assert "readonly" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert home.sandbox.charges()["charges"] == []
    assert submits(home) == 0
    finishes(home, charges=3)
    assert submits(home) == 3


def test_what_can_be_read_is_still_shown(home: EngineHome) -> None:
    prepared(home, 2)
    file = ledger_file(home)
    file.chmod(0o400)
    try:
        done = run_bounded(home, "status", plain_user=True)
    finally:
        file.chmod(0o600)
    assert "v000" in done.stdout, done.stderr


def test_an_answer_is_kept_when_the_ledger_may_no_longer_be_written(home: EngineHome) -> None:
    home.seeded(3, steps=1)
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
        assert states == ["sending"] * 3
    assert len(home.sandbox.charges()["charges"]) == 3
    finishes(home, charges=3)


# Locked


@contextmanager
def held(file: Path) -> Iterator[None]:
    """Somebody else's transaction that doesn't end."""
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer waits for a fifth of a second instead of two minutes."""
    monkeypatch.setattr(database, "BUSY_S", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_ledger_that_somebody_holds_sends_nothing(home: EngineHome) -> None:
    prepared(home, 3)
    with held(ledger_file(home)), home.open() as pipeline:
        for _ in range(2):
            with pytest.raises(OperationalError, match="locked"):
                advance(pipeline, publish=False)
    assert home.sandbox.charges()["charges"] == []
    finishes(home, charges=3)


@pytest.mark.usefixtures("impatient")
def test_an_answer_is_kept_while_somebody_holds_the_ledger(home: EngineHome) -> None:
    home.seeded(3, steps=1)
    other = None
    first = threading.Lock()

    def take() -> None:
        nonlocal other
        if first.acquire(blocking=False):
            other = sqlite3.connect(ledger_file(home), isolation_level=None, check_same_thread=False)
            other.execute("BEGIN IMMEDIATE")

    with home.open(make_provider=between(take)) as pipeline:
        with pytest.raises(UnrecordedError, match="locked"):
            advance(pipeline, publish=False)
        assert len(home.sandbox.charges()["charges"]) == 3
        assert other is not None
        other.execute("ROLLBACK")
        other.close()
        for _ in range(20):
            advance(pipeline, publish=False)
    finishes(home, charges=3)


def test_a_lock_that_ends_in_time_costs_nothing_but_the_wait(home: EngineHome) -> None:
    prepared(home, 2)
    got, over = threading.Event(), threading.Event()

    def hold() -> None:
        with held(ledger_file(home)):
            got.set()
            over.wait(0.5)

    holder = threading.Thread(target=hold)
    holder.start()
    assert got.wait(5)
    finishes(home, charges=2)
    holder.join()


@pytest.mark.usefixtures("impatient")
def test_a_verb_says_that_the_ledger_is_held_and_what_to_do(
    home: EngineHome, capsys: pytest.CaptureFixture[str]
) -> None:
    from extend_pipeline.commands.shared.errors import report_error

    prepared(home, 1)
    with held(ledger_file(home)), home.open() as pipeline:
        with pytest.raises(OperationalError) as caught:
            advance(pipeline, publish=False)
        assert report_error(caught.value, home=home.path) == 1
    told = capsys.readouterr().err
    check_user_text(told)
