"""Fixtures of the receiver's tests: homes with a sandbox that calls back, and the signing secret in the environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.sandbox import GatewayConfig
from extend_pipeline_tests.engine.conftest import make_home
from extend_pipeline_tests.support.home.engine_home import EngineHome
from extend_pipeline_tests.webhooks.receiving import SECRET, SECRET_ENV

__all__ = ["make_home"]


@pytest.fixture
def home(make_home: Callable[..., EngineHome]) -> EngineHome:
    """A home on SQLite; its sandbox finishes every task at once, and its gateway passes callback addresses on."""
    return make_home(gateway=GatewayConfig(passes=frozenset({"callback_url"})))


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """The signing secret, in the environment."""
    monkeypatch.setenv(SECRET_ENV, SECRET)
    return SECRET


@pytest.fixture
def sandbox_of(make_home: Callable[..., EngineHome]) -> Callable[..., EngineHome]:
    """A function that makes homes whose sandbox has other settings."""

    def build(**config: Any) -> EngineHome:
        return make_home(gateway=GatewayConfig(passes=frozenset({"callback_url"})), **config)

    return build
