"""The world of one example: a sandbox, a home, a clock that only moves by `jump`, processes, and the facts that the
ledger can't know."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.sandbox import GatewayConfig, SandboxConfig, running_sandbox
from extend_pipeline_tests.machine.counters import Counters
from extend_pipeline_tests.machine.world.processes import Process, build_process
from extend_pipeline_tests.support.home.engine_home import (
    ACCESS_ENV,
    DAY_MS,
    KEY_ENVS,
    SECRET_ENV,
    EngineHome,
    account,
    branch,
    entry,
    source_id,
)
from extend_pipeline_tests.support.home.every_provider import other_account, other_entry

ACCOUNTS: Final = ("kling", "kling-gateway", "vidu", "luma")
START_MS: Final = 1_793_520_000_000  # a day in 2026 whose hours leave room on both sides of midnight
NOWHERE: Final = "http://127.0.0.1:9/hooks"  # no server listens: the machine itself hands callbacks in
SOURCE_S: Final = 5.0
MAX_IN_FLIGHT: Final = 4

_BUDGETS: Final[Mapping[str, Mapping[str, float]]] = {
    "kling": {"per_day": 8, "total": 40, "in_doubt": 6},
    "kling-gateway": {"per_day": 4, "total": 20, "in_doubt": 3},
    "vidu": {"per_day": 1.5, "total": 8, "in_doubt": 1},
    "luma": {"per_day": 4, "total": 20, "in_doubt": 3},
}
_QUICK: Final[Mapping[str, Any]] = {
    "post_deadline_s": 0.5,
    "lease_s": 60.0,
    "get_deadline_s": 0.5,
    "download_silence_s": 2.0,
    "lost_after_s": 0,
    "max_submits": 3,
    "max_downloads": 2,
    "max_polls": 3,
}


def machine_sandbox() -> SandboxConfig:
    """A sandbox of the smallest films, whose tasks take minutes of the machine's time, and whose bills come at once."""
    return SandboxConfig(
        account="kling",
        width=64,
        height=64,
        fps=4,
        run_time=(30.0, 400.0),
        slots=300,
        share_media=True,
        billing_delay=0,
        billing_interval=0,
        gateway=GatewayConfig(account="kling-gateway", price=Decimal("1"), passes=frozenset({"callback_url"})),
    )


def set_keys() -> None:
    """Put that sandbox's keys into the environment."""
    config = machine_sandbox()
    os.environ[ACCESS_ENV], os.environ[SECRET_ENV] = config.access_key, config.secret_key
    os.environ[KEY_ENVS["kling-gateway"]] = config.gateway.key
    os.environ[KEY_ENVS["vidu"]], os.environ[KEY_ENVS["luma"]] = config.vidu.key, config.luma.key


@dataclass
class Wish:
    """One entry of the catalogue. `takes` name the prompt of each hop; another take is another step."""

    key: str
    provider: str
    number: int
    takes: list[str]
    above: str | None = None
    hop: int = 0
    withdrawn: bool = False

    def written(self, home: EngineHome) -> dict[str, Any]:
        """As the user writes it."""
        prompts = [f"{self.key} goes on, take {take}, hop {hop}" for hop, take in enumerate(self.takes, 1)]
        extend: dict[str, Any] = {"steps": len(self.takes), "prompts": prompts}
        if self.above is not None:
            more = {"model": "viduq2-turbo", "seconds": 1, "resolution": "540p"} if self.provider == "vidu" else {}
            return branch(self.key, self.above, self.hop, **extend, **more)
        name = source_name(self.provider, self.number)
        clip = {"video_id": name, "model": "kling-v1-6", "mode": "std", "duration": SOURCE_S}
        match self.provider:
            case "kling":
                return entry(self.key, name, account="kling", duration=SOURCE_S, **extend)
            case "kling-gateway":
                return other_entry(self.provider, self.key, clip, **extend)
            case "vidu":
                source = {"video_url": home.sandbox.source_url(name)}
                return other_entry(self.provider, self.key, source, seconds=1, **extend)
            case _:
                return other_entry(self.provider, self.key, {"task_id": name}, **extend)


def source_name(provider: str, number: int) -> str:
    """What the sandbox calls the source of an entry."""
    return source_id(number) if provider == "kling" else f"{provider}-source-{number}"


@dataclass
class World:
    """One example's world."""

    folder: Path
    home: EngineHome
    counters: Counters
    now: int = START_MS
    wishes: dict[str, Wish] = field(default_factory=dict)
    budgets: dict[str, dict[str, float]] = field(default_factory=lambda: {k: dict(v) for k, v in _BUDGETS.items()})
    tokens: list[str] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    resubmits: int = 0  # hops that the operator has allowed to be paid for again
    processes: list[Process] = field(default_factory=list)
    ledger: Ledger = field(init=False)
    _names: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.ledger = open_ledger(self.home.ledger_url)

    def now_ms(self) -> int:
        """The time, for pipelines."""
        return self.now

    def jump(self, seconds: float) -> None:
        """Let time pass, here and upstream."""
        self.now += int(seconds * 1000)
        self.home.sandbox.set_offset(self.now / 1000 - time.time())

    def new_token(self) -> str:
        """Return an address that can't be guessed; the same in every run of the same example."""
        self.tokens.append(f"an-address-that-nobody-guesses-{len(self.tokens):06}")
        return self.tokens[-1]

    def add(self, provider: str, hops: int) -> str:
        """Plant a source and wish for it to be extended."""
        number = len(self.wishes)
        name = source_name(provider, number)
        self.home.sandbox.seed([{"video_id": name, "duration": SOURCE_S, "provider": provider}])
        wish = Wish(f"v{number:03}", provider, number, ["a"] * hops)
        self.wishes[wish.key] = wish
        return wish.key

    def add_branch(self, above: str, hop: int, hops: int) -> str:
        """Wish for a branch."""
        number = len(self.wishes)
        wish = Wish(f"v{number:03}", self.wishes[above].provider, number, ["a"] * hops, above, hop)
        self.wishes[wish.key] = wish
        return wish.key

    def write_catalogue(self) -> None:
        """Write what is wished for."""
        self.home.catalogue([wish.written(self.home) for wish in self.wishes.values() if not wish.withdrawn])

    def write_accounts(self) -> None:
        """Write the accounts with the budgets of now."""
        self.home.accounts(*machine_accounts(self.home.sandbox.base_url, self.budgets))

    def process(self, number: int) -> Process:
        """The process that stands at a place; a new one where the last has crashed."""
        while len(self.processes) <= number:
            self.processes.append(self._new_process())
        return self.processes[number]

    def replace(self, process: Process, *, looks_dead: bool = False) -> None:
        """Forget a process that has crashed; another one takes its place, under another name."""
        process.pipeline.close()
        self.processes[self.processes.index(process)] = self._new_process(looks_dead=looks_dead)
        self.counters.add("crashes")

    def _new_process(self, *, looks_dead: bool = False) -> Process:
        return build_process(
            f"p{next(self._names)}",
            self.home.settings,
            now_ms=self.now_ms,
            new_token=self.new_token,
            looks_dead=looks_dead,
        )

    def stopped(self) -> list[Process]:
        """Those that stand still."""
        return [process for process in self.processes if process.is_stopped]

    def close(self) -> None:
        """End everything."""
        for process in self.stopped():
            process.gate.open(dead=True)
            assert process.thread is not None
            process.thread.join()
        for process in self.processes:
            process.pipeline.close()
        self.ledger.close()


def machine_accounts(base_url: str, budgets: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """The accounts as a user writes them; all that can be called back is."""
    rhythm = {"max_in_flight": MAX_IN_FLIGHT, "poll": {"first_after": 60, "every": 15}}
    called = {"callbacks": {"url": NOWHERE}}
    doubt = {"in_doubt": {"settle": 600, "absences": 3}}
    special: dict[str, dict[str, Any]] = {
        "kling-gateway": {"passes": ["callback_url"], **called},
        "vidu": {"output": "full"},
        "luma": called,
    }
    return [
        account(base_url, "kling", budget=budgets["kling"], adopt_orphans="all", **rhythm, **called, **doubt),
        *(
            other_account(
                name,
                base_url,
                budget=budgets[name],
                failed_tasks_charged="no",
                adopt_orphans="all",
                **rhythm,
                **special[name],
            )
            for name in ACCOUNTS[1:]
        ),
    ]


class WorldFactory:
    """Makes worlds one after the other. Films are rendered once, and a ledger's tables are made once."""

    def __init__(self, folder: Path, counters: Counters, ledgers: Iterator[str] | None = None) -> None:
        self.folder, self.counters, self._ledgers = folder, counters, ledgers
        self._numbers = itertools.count()
        self._films = folder / "films"
        self._films.mkdir(parents=True)
        self._template = folder / "template.sqlite"
        open_ledger(f"sqlite:///{self._template}").close()
        set_keys()

    def build(self, stack: ExitStack) -> World:
        """A new world, which ends with the stack."""
        folder = self.folder / f"example-{next(self._numbers)}"
        (folder / "sandbox").mkdir(parents=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        (folder / "sandbox" / "media").symlink_to(self._films)
        sandbox = stack.enter_context(running_sandbox(folder / "sandbox", machine_sandbox()))
        home = EngineHome(folder / "home", sandbox, self._ledger_url(folder / "home"), dict(_QUICK))
        world = World(folder, home, self.counters)
        stack.callback(world.close)
        world.jump(0)
        world.write_accounts()
        return world

    def _ledger_url(self, home: Path) -> str:
        (home / "state").mkdir(parents=True)
        if self._ledgers is not None:
            return next(self._ledgers)
        shutil.copy(self._template, home / "state" / "ledger.sqlite")
        return f"sqlite:///{home}/state/ledger.sqlite"


def days(number: float) -> float:
    """Days as seconds."""
    return number * DAY_MS / 1000


def keys_of(wishes: Mapping[str, Wish], *, present: bool = True) -> Sequence[str]:
    """Keys of what is wished for, or of what was withdrawn."""
    return [key for key, wish in wishes.items() if wish.withdrawn is not present]
