"""Homes of scenarios: one sandbox with many accounts of every provider, and for each scenario an account of its own
and a fresh home. What it costs to set up is paid once, not once a scenario."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from extend_pipeline.ledger.database import Ledger
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, running_sandbox
from extend_pipeline.sandbox.config import SandboxAccount
from extend_pipeline.sandbox.kling_gateway.settings import GatewayConfig
from extend_pipeline.sandbox.luma.settings import LumaConfig
from extend_pipeline.sandbox.surface.settings import KeyAccount
from extend_pipeline.sandbox.vidu.settings import ViduConfig
from extend_pipeline_tests.faults.homes.scenario_home import ScenarioHome
from extend_pipeline_tests.faults.processes.fork_server import ForkServer
from extend_pipeline_tests.faults.processes.job import work
from extend_pipeline_tests.faults.upstream import PROVIDERS
from extend_pipeline_tests.support.home.engine_home import ACCESS_ENV, KEY_ENVS, SECRET_ENV

PLACES_A_SANDBOX: Final = 60
"""Scenarios that one sandbox serves before a fresh one replaces it: each reads its whole charge book several times."""


def new_folder() -> Path:
    """Create the folder of homes and sandboxes, in memory where the machine has that, since a scenario syncs its ledger
    dozens of times and loses nothing of what it shows (power cuts are simulated, power_cut.py)."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="ep-faults-", dir=memory if memory.is_dir() else None))


class HomeFactory:
    """Gives out homes, and a fresh sandbox from time to time. For one thread; to be closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._sandbox: SandboxHandle | None = None
        self._media: Path | None = None
        self._free: Iterator[int] = iter(())
        self._numbers = itertools.count()
        self._template = folder / "empty.sqlite"
        template = Ledger(f"sqlite:///{self._template}")  # without an id: each home's ledger gets its own
        template.migrate()
        template.close()

    def home(self, provider: str, steps: Sequence[int], *, by_list: bool = False, **options: Any) -> ScenarioHome:
        """A home of one account, with a video for each number of steps. `by_list`: tasks are asked for together,
        however few they are. `options` are fields of the account."""
        number = next(self._free, None)
        if number is None:
            self._renew()
            number = next(self._free)
        assert self._sandbox is not None
        self._sandbox.clear_faults()
        name = _name(provider, number)
        home = ScenarioHome(
            path=self.folder / f"home-{next(self._numbers)}",
            provider=provider,
            account=name,
            sandbox=self._sandbox,
            environment=_environment(provider, name),
            template=self._template,
            steps=tuple(steps),
            fork_server=own_fork_server,
            by_list=by_list,
            options=options,
        )
        home.set_up()
        return home

    def close(self) -> None:
        """Stop the sandbox and remove everything."""
        self._stack.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _renew(self) -> None:
        self._stack.close()
        state = self.folder / f"sandbox-{next(self._numbers)}"
        if self._media is not None:  # its films are the same ones
            shutil.move(self._media, state / "media")
            shutil.rmtree(self._media.parent)
        self._media = state / "media"
        self._sandbox = self._stack.enter_context(running_sandbox(state, _sandbox_config()))
        self._free = iter(range(PLACES_A_SANDBOX))


@contextmanager
def home_factory() -> Iterator[HomeFactory]:
    """A factory in a folder of its own, removed at the end."""
    opened = HomeFactory(new_folder())
    try:
        yield opened
    finally:
        opened.close()


_warmed_up: set[str] = set(PROVIDERS)


def warm_up_only(providers: Collection[str]) -> None:
    """Say which providers the homes of this process are of, before the first of them: no others are tried out."""
    _warmed_up.intersection_update(providers)


@cache
def own_fork_server() -> ForkServer:
    """The one fork_server of this process."""
    return ForkServer(partial(try_out, tuple(sorted(_warmed_up))))


def try_out(providers: Sequence[str]) -> None:
    """Do in this process what its forks will do, so that each finds it compiled and imported: two steps of each
    provider."""
    kept = dict(os.environ)
    with home_factory() as own:
        for provider in providers:
            work(own.home(provider, (1, 1), by_list=True).job())
    os.environ.clear()
    os.environ.update(kept)


def _name(provider: str, number: int) -> str:
    return f"{provider}-{number}"


def _key(name: str) -> str:
    return f"{name}-key-of-the-sandbox-that-is-long-enough"


def _environment(provider: str, name: str) -> dict[str, str]:
    if provider == "kling":
        return {ACCESS_ENV: name, SECRET_ENV: _key(name)}
    return {KEY_ENVS[provider]: _key(name)}


def _sandbox_config() -> SandboxConfig:
    def keys(provider: str) -> tuple[KeyAccount, ...]:
        return tuple(KeyAccount(name, _key(name)) for name in names(provider))

    def names(provider: str) -> list[str]:
        return [_name(provider, number) for number in range(PLACES_A_SANDBOX)]

    return SandboxConfig(
        extra_accounts=tuple(SandboxAccount(name, name, _key(name), f"{name}-api-key") for name in names("kling")),
        width=64,
        height=64,
        fps=4,
        run_time=(0, 0),
        slots=300,
        share_media=True,
        gateway=GatewayConfig(extra_accounts=keys("kling-gateway"), passes=frozenset({"callback_url"})),
        vidu=ViduConfig(extra_accounts=keys("vidu")),
        luma=LumaConfig(extra_accounts=keys("luma")),
    )
