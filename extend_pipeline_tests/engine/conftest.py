"""Fixtures of the engine's tests: a sandbox, a home that uses it, and its keys in the environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.sandbox import running_sandbox
from extend_pipeline_tests.support.home.engine_home import EngineHome, sandbox_config, set_credentials
from extend_pipeline_tests.support.media.rendered import render_once
from extend_pipeline_tests.support.servers.silent import SilentServer, running_silent_server


@pytest.fixture
def make_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EngineHome]]:
    """Yield a function that makes a home with a sandbox of its own; `config` is the sandbox's."""
    set_credentials(monkeypatch)
    render_once(monkeypatch)
    with ExitStack() as stack:

        def make(name: str = "home", *, ledger_url: str | None = None, **config: Any) -> EngineHome:
            sandbox = stack.enter_context(running_sandbox(tmp_path / f"{name}-sandbox", sandbox_config(**config)))
            path = tmp_path / name
            return EngineHome(path, sandbox, ledger_url or f"sqlite:///{path}/state/ledger.sqlite")

        yield make


@pytest.fixture
def home(make_home: Callable[..., EngineHome]) -> EngineHome:
    """Return a home on SQLite whose sandbox finishes every task at once."""
    return make_home()


@pytest.fixture
def silent_server() -> Iterator[SilentServer]:
    """Yield a server that takes connections and never replies."""
    with running_silent_server() as server:
        yield server


@pytest.fixture
def silent_url(silent_server: SilentServer) -> str:
    """Return the address of a server that takes connections and never replies."""
    return silent_server.url
