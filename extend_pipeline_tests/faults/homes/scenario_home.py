"""One scenario's own account and home: its files, the arguments of its processes, and its part of the charge book."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.faults.processes.fork_server import ForkedProcess, ForkServer
from extend_pipeline_tests.faults.processes.job import Job, work
from extend_pipeline_tests.support.harness.charges import ChargeBook, charge_book
from extend_pipeline_tests.support.home.engine_home import account, entry
from extend_pipeline_tests.support.home.every_provider import other_account, other_entry
from extend_pipeline_tests.support.processes.compiled import share_compiled

SOURCE_S: Final = 5.0
DEADLINES: Final[Mapping[str, float]] = {
    "post_deadline_s": 0.5,
    "lease_s": 5.6,
    "get_deadline_s": 0.5,
    "download_silence_s": 0.8,
    "min_free_bytes": 0,
    "lost_after_s": 0,
}
PAST_A_LEASE_MS: Final = 6_000
_RHYTHM: Final[Mapping[str, Any]] = {
    "poll": {"first_after": 0.05, "every": 0.1},
    "in_doubt": {"settle": 0.5, "absences": 2},
}


@dataclass
class ScenarioHome:
    """One scenario's own account and home."""

    path: Path
    provider: str
    account: str
    sandbox: SandboxHandle
    environment: dict[str, str]
    template: Path
    steps: tuple[int, ...]
    fork_server: Callable[[], ForkServer]
    by_list: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    may_cost_more: bool = False
    """Whether the upstream may take more than was predicted, until it says so."""

    @property
    def keys(self) -> list[str]:
        """The videos."""
        return [f"v{number}" for number in range(len(self.steps))]

    def source(self, number: int) -> str:
        """The id of a video's source, as the sandbox knows it."""
        return f"{self.account}-source-{number}"

    def set_up(self) -> None:
        """Plant the sources, write the home, and lay an empty ledger into it."""
        self.path.mkdir(parents=True)
        self.write_catalogue()
        self.write_accounts()
        self.lay_ledger()

    def write_catalogue(self) -> None:
        """Plant a source for each video that is in `steps` now, and write the entries."""
        seeds = [
            {"video_id": self.source(n), "duration": SOURCE_S, "provider": self.provider, "account": self.account}
            for n in range(len(self.steps))
        ]
        self.sandbox.seed(seeds)
        entries = [self._entry(number, steps) for number, steps in enumerate(self.steps)]
        (self.path / "catalog.yaml").write_text(json.dumps({"videos": entries}), encoding="utf-8")

    def write_accounts(self) -> None:
        """Write the account as `options` say now."""
        written = {"accounts": [self._account()]}
        (self.path / "accounts.yaml").write_text(json.dumps(written), encoding="utf-8")

    def lay_ledger(self) -> None:
        """Put an empty ledger into the home, in place of the one that is there."""
        ledger = self.path / "state" / "ledger.sqlite"
        ledger.parent.mkdir(mode=0o700, exist_ok=True)
        for left in ledger.parent.glob("ledger.sqlite*"):
            left.unlink()
        shutil.copyfile(self.template, ledger)

    def _account(self) -> dict[str, Any]:
        if self.provider == "kling":
            return account(self.sandbox.base_url, self.account, **{**_RHYTHM, **self.options})
        more = {"batch_query": self.by_list} if self.provider == "luma" else {}
        made = other_account(self.provider, self.sandbox.base_url, name=self.account, poll=_RHYTHM["poll"], **more)
        return {**made, **self.options}

    def _entry(self, number: int, steps: int) -> dict[str, Any]:
        key, source = self.keys[number], self.source(number)
        if self.provider == "kling":
            return entry(key, source, account=self.account, duration=SOURCE_S, steps=steps, prompt="the fog lifts")
        sources: dict[str, dict[str, Any]] = {
            "kling-gateway": {"video_id": source, "model": "kling-v1-6", "mode": "std", "duration": SOURCE_S},
            "vidu": {"video_url": self.sandbox.source_url(source)},
            "luma": {"task_id": source},
        }
        return {**other_entry(self.provider, key, sources[self.provider], steps=steps), "account": self.account}

    @cached_property
    def settings(self) -> Settings:
        """The settings that every process of this home has."""
        return Settings(**self.job().settings)

    def job(self, **changes: Any) -> Job:
        """A process's task; `changes` replace its fields."""
        ledger = f"sqlite:///{self.path}/state/ledger.sqlite"
        settings = {"home": self.path, "ledger_url": ledger, **DEADLINES}
        whole = Job(settings=settings, environment=self.environment, clock=self.path / "clock")
        # Luma is asked for a list of two tasks or more: in rounds they are due together, in lanes each at its own time
        by_list = {"list_worth": 1, "in_lanes": self.provider != "luma"} if self.by_list else {}
        return replace(whole, **{**by_list, **changes})

    def start(self, name: str, **changes: Any) -> ForkedProcess:
        """Start a process on this home; what it says goes to a file of that name."""
        return self.fork_server().start(work, self.job(**changes), self.path / f"{name}.txt")

    def ledger(self) -> AbstractContextManager[Ledger]:
        """The home's ledger, to be looked at."""
        return _opened(self.settings.ledger_url)

    def empty_ledger(self) -> AbstractContextManager[Ledger]:
        """Another ledger, an empty one, to replay into."""
        return _opened(f"sqlite:///{shutil.copyfile(self.template, self.path / 'replayed.sqlite')}")

    def book(self) -> ChargeBook:
        """What this account was charged."""
        return charge_book(self.sandbox, self.account)

    def tasks(self) -> list[dict[str, Any]]:
        """The account's tasks, oldest first."""
        return [task for task in self.sandbox.tasks() if task["account"] == self.account]

    def tear_down(self) -> None:
        """Remove the home."""
        shutil.rmtree(self.path)


@contextmanager
def _opened(url: str) -> Iterator[Ledger]:
    ledger = open_ledger(url)
    share_compiled(ledger)
    try:
        yield ledger
    finally:
        ledger.close()
