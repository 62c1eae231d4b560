"""Fixtures shared by all tests: real ledgers on SQLite and on PostgreSQL, and a clean environment."""

from __future__ import annotations

import gc
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from extend_pipeline.base import failpoints
from extend_pipeline.commands.render.home import use_home
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline_tests.deep import MARKER, mark_deep
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED, migrate_quickly
from extend_pipeline_tests.support.processes.migration_scripts import read_migrations_once
from extend_pipeline_tests.support.servers.postgres import PostgresServer
from extend_pipeline_tests.support.servers.prompt_uvicorn import stop_promptly
from extend_pipeline_tests.support.user_texts import WRITE, write_golden

_databases = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    config.addinivalue_line("markers", f"{REALLY_MIGRATED}: every ledger is made by its migrations")
    config.addinivalue_line("markers", f"{MARKER}: runs in `make test-deep` and not in `make test`")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the deep tests; pytest's own selection by markers comes afterwards."""
    mark_deep(items)


def pytest_collection_finish() -> None:
    """Exempt all modules and collected tests from the garbage collector, because they live to the end."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the golden file once, in the process that has started the others."""
    if os.environ.get(WRITE) and not hasattr(session.config, "workerinput"):
        write_golden(Path(os.environ[WRITE]))


def pytest_unconfigure() -> None:
    """Collect objects that tests left behind, because DuckDB would list them at the end of the process."""
    gc.unfreeze()
    gc.collect()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment without the settings of the shell and of earlier tests, on a terminal of 80 columns."""
    ours = ("HOME", "LEDGER_URL", "MEDIA_URL", "LEASE_S", "POST_DEADLINE_S", "FAILPOINTS")
    for name in ("DAGSTER_HOME", *(f"EXTEND_PIPELINE_{name}" for name in ours)):
        monkeypatch.setenv(name, "")  # delenv of a missing name would not be undone at the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "80")  # else the width of the terminal that the tests were started from
    yield
    failpoints.disarm()
    use_home(None)


@pytest.fixture(autouse=True)
def _quick_ledgers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """New ledgers copied in milliseconds instead of migrated."""
    if request.node.get_closest_marker(REALLY_MIGRATED) is None:
        migrate_quickly(monkeypatch)


@pytest.fixture(scope="session", autouse=True)
def _prompt_servers() -> Iterator[None]:
    """Sandboxes that stop within some 10 ms."""
    with pytest.MonkeyPatch.context() as patch:
        stop_promptly(patch)
        yield


@pytest.fixture(scope="session", autouse=True)
def _migrations_read_once() -> Iterator[None]:
    """Databases of Dagster's whose migrations are looked through only for the first one."""
    with pytest.MonkeyPatch.context() as patch:
        read_migrations_once(patch)
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL, started once per test process."""
    folder = tempfile.mkdtemp(prefix="ep-pg-")  # a short path: a Unix socket's name may hold 107 bytes
    try:
        with PostgresServer.started(Path(folder)) as server:
            yield server
    finally:
        # not waited for: a database is 400 files, and those of all tests take half a minute to remove
        os.posix_spawnp("rm", ["rm", "-rf", folder], os.environ)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty ledger; every test that uses it runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    new = server.new_database if request.node.get_closest_marker(REALLY_MIGRATED) else server.new_ledger
    return new(f"ledger_{next(_databases)}")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty, open ledger."""
    opened = open_ledger(ledger_url)
    yield opened
    opened.close()
