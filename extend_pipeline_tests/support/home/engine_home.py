"""Homes against a running sandbox: files as a user writes them, opened for work, with a clock that can jump."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.load import load_configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import Round, advance
from extend_pipeline.engine.drive import MAX_WAIT_MS, next_wait_ms
from extend_pipeline.engine.home import MakeProvider, Pipeline, open_home, wall_ms
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.registry import PROVIDERS, build_provider
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle

ACCESS_ENV, SECRET_ENV = "ENGINE_TEST_ACCESS_KEY", "ENGINE_TEST_SECRET_KEY"
KEY_ENVS: Mapping[str, str] = {
    "kling-gateway": "ENGINE_TEST_GATEWAY_KEY",
    "vidu": "ENGINE_TEST_VIDU_KEY",
    "luma": "ENGINE_TEST_LUMA_KEY",
}
FIRST_SOURCE = 800_000_000_000_000_001
DAY_MS = 86_400_000
SMALL_FILMS: Mapping[str, Any] = {"width": 96, "height": 64, "fps": 6, "run_time": (0, 0), "slots": 300}
QUICK: Mapping[str, float] = {
    "post_deadline_s": 1.0,
    "lease_s": 6.5,
    "get_deadline_s": 2.0,
    "download_silence_s": 10.0,
    "min_free_bytes": 0,
    "result_bytes": 0,
    "lost_after_s": 0,
}


def sandbox_config(**changes: Any) -> SandboxConfig:
    """Return the configuration of a sandbox whose films are small and whose tasks take no time."""
    return SandboxConfig(**{**SMALL_FILMS, **changes})


def source_id(number: int) -> str:
    """Return the id of the `number`-th source video."""
    return str(FIRST_SOURCE + 10 * number)  # none ends in zeros, which would look rounded


def entry(key: str, source: str, *, account: str = "k", duration: float = 5.0, **extend: Any) -> dict[str, Any]:
    """Return a catalogue entry over a source video; `extend` is as a user writes it."""
    made = {"video_id": source, "model": "kling-v1-6", "mode": "std", "duration": duration}
    return {"key": key, "account": account, "source": made, "extend": extend or {"steps": 1}}


def branch(key: str, of: str, hop: int, **extend: Any) -> dict[str, Any]:
    """Return a catalogue entry that branches off another."""
    return {"key": key, "source": {"branch_of": of, "hop": hop}, "extend": extend}


def account(base_url: str = "http://127.0.0.1:9", name: str = "k", **changes: Any) -> dict[str, Any]:
    """Return an account of the sandbox as a user writes it, with short intervals."""
    return {
        "name": name,
        "provider": "kling",
        "base_url": base_url,
        "allow_local": True,
        "credentials": {"access_key_env": ACCESS_ENV, "secret_key_env": SECRET_ENV},
        "max_in_flight": 200,
        "budget": {"per_day": 10_000, "total": 20_000},
        "poll": {"first_after": 0.05, "every": 0.1},
        "in_doubt": {"settle": 0.5, "absences": 2},
        **changes,
    }


class JumpClock:
    """The wall clock plus the milliseconds that a test has skipped."""

    def __init__(self, skipped_ms: int = 0) -> None:
        self.skipped_ms = skipped_ms

    def __call__(self) -> int:
        return wall_ms() + self.skipped_ms

    def skip(self, ms: float) -> None:
        """Let `ms` milliseconds pass at once."""
        self.skipped_ms += int(ms)


@dataclass
class EngineHome:
    """A home on disk and the sandbox that its accounts name."""

    path: Path
    sandbox: SandboxHandle
    ledger_url: str
    options: dict[str, Any] = field(default_factory=lambda: dict(QUICK))
    account: dict[str, Any] = field(default_factory=dict)
    """Fields that the default account has besides."""

    def write(self, entries: Sequence[Mapping[str, Any]], *accounts: Mapping[str, Any]) -> None:
        """Write catalogue and accounts (JSON is YAML); without accounts, the default one."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.accounts(*accounts)
        self.catalogue(entries)

    def catalogue(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Write the catalogue."""
        (self.path / "catalog.yaml").write_text(json.dumps({"videos": list(entries)}), encoding="utf-8")

    def accounts(self, *accounts: Mapping[str, Any]) -> None:
        """Write the accounts; without any, the default one."""
        chosen = list(accounts) or [account(self.sandbox.base_url, **self.account)]
        (self.path / "accounts.yaml").write_text(json.dumps({"accounts": chosen}), encoding="utf-8")

    def seeded(self, count: int, *, first: int = 0, **extend: Any) -> list[dict[str, Any]]:
        """Plant `count` sources of 5 s and write a catalogue that extends each; return the entries."""
        numbers = range(first, first + count)
        self.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in numbers])
        entries = [entry(f"v{number:03}", source_id(number), **extend) for number in numbers]
        self.write(entries)
        return entries

    @property
    def settings(self) -> Settings:
        """The settings of this home."""
        return Settings(home=self.path, ledger_url=self.ledger_url, **self.options)

    @contextmanager
    def open(
        self, clock: Any = None, *, make_provider: MakeProvider | None = None, owner: str = ""
    ) -> Iterator[Pipeline]:
        """Open the home as every program does, but with short waits between repeated queries."""
        settings, clock = self.settings, clock or JumpClock()
        configuration = load_configuration(settings, PROVIDERS, now=from_ms(clock()))
        made = make_provider or impatient_provider
        with open_home(settings, configuration=configuration, now_ms=clock, make_provider=made) as pipeline:
            pipeline.owner = owner or pipeline.owner
            yield pipeline


def impatient_provider(account: Account, *, settings: Settings, **changes: Any) -> Any:
    """Build a real provider that repeats its queries after milliseconds; `changes` go to `build_provider`."""
    provider: Any = build_provider(account, settings=settings, **changes)
    provider.client.retry = RetryPolicy(wait_initial_s=0.01, wait_max_s=0.02)
    return provider


def drive(pipeline: Pipeline, *, rounds: int = 200, publish: bool = False) -> Plan:
    """Run `advance` until idle, skipping the waits, and return the last plan of all videos."""
    clock = pipeline.now_ms
    assert isinstance(clock, JumpClock)
    for _ in range(rounds):
        now: Round = advance(pipeline, publish=publish)
        wait = next_wait_ms(pipeline, now)
        if wait is None:
            return plan(plan_input(pipeline))
        # the longest wait means that no attempt is due before it
        clock.skip(wait if wait < MAX_WAIT_MS else 60_000)
    raise AssertionError(f"still not idle after {rounds} rounds: {plan(plan_input(pipeline)).videos}")


def eventually(condition: Any, *, within: float = 20.0) -> Any:
    """Return the first true value of `condition`; fail after `within` seconds."""
    deadline = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.01)
    return value


def set_credentials(monkeypatch: pytest.MonkeyPatch, *, access: str | None = None, secret: str | None = None) -> None:
    """Put the sandbox's keys, or other ones, into the environment variables that accounts name."""
    config = SandboxConfig()
    monkeypatch.setenv(ACCESS_ENV, access or config.access_key)
    monkeypatch.setenv(SECRET_ENV, secret or config.secret_key)
    for provider, surface in (("kling-gateway", config.gateway), ("vidu", config.vidu), ("luma", config.luma)):
        monkeypatch.setenv(KEY_ENVS[provider], surface.key)
