"""The demo's surroundings: a clean state, the sandbox's address, a DAGSTER_HOME of its own, and what the children
run."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from extend_pipeline.base.private import make_private_folder, open_private
from extend_pipeline.base.units import from_ms
from extend_pipeline.commands.demo.home_lock import RECORD, HomeLock, lock_home
from extend_pipeline.commands.demo.processes import Child, answers, running, tool, wait_for
from extend_pipeline.commands.demo.sandbox import read_seeds
from extend_pipeline.config.load import load_accounts, load_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.state_in_use import IN_USE, state_in_use
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.sandbox import SandboxConfig, check_seeds

WORKSPACE = """\
load_from:
  - python_module:
      module_name: extend_pipeline.definitions
      location_name: extend_pipeline
"""

DAGSTER_CONFIGURATION = "dagster.yaml"
MAX_PORT = 65535
PROGRAMS = ("dagster-daemon", "dagster-webserver")
MARK = ".demo"
"""Lies in a state folder that a demo made: only such a folder is ever removed."""


@dataclass(frozen=True)
class DemoHome:
    """Where the demo lives. `url` is the sandbox's, as accounts.yaml has it."""

    settings: Settings
    url: str

    @property
    def state(self) -> Path:
        """Return all that the demo generates."""
        return self.settings.state_dir

    @property
    def dagster_home(self) -> Path:
        """Return the demo's own DAGSTER_HOME."""
        return self.state / "dagster"

    @property
    def logs(self) -> Path:
        """Logs of the child processes."""
        return self.state / "logs"

    @property
    def seed_file(self) -> Path:
        """Return the sources that the sandbox has."""
        return self.settings.home / "sandbox.json"

    def environment(self) -> dict[str, str]:
        """Return what the children see. The keys are the sandbox's own and open nothing else."""
        config = SandboxConfig()
        return {
            "EXTEND_PIPELINE_HOME": str(self.settings.home),
            "DAGSTER_HOME": str(self.dagster_home),
            "EXTEND_DEMO_ACCESS_KEY": config.access_key,
            "EXTEND_DEMO_SECRET_KEY": config.secret_key,
            **{f"EXTEND_DEMO_{name.upper()}_KEY": own.key for name, own in config.others.items()},
            "PYTHONUNBUFFERED": "1",
        }


def find(home: Path | None) -> DemoHome:
    """Return the demo home named on the command line, or data/demo. Raises ClickException where there is none."""
    settings = Settings.for_home(home if home is not None else Path("data/demo"))
    if not (settings.home / "catalog.yaml").exists():
        raise click.ClickException(
            f"there is no demo in {settings.home}: run it in a checkout of the project, or name one with --home"
        )
    urls = {account.base_url for account in load_accounts(settings, PROVIDERS).values()}
    if len(urls) != 1 or not all(urlsplit(url).hostname == "127.0.0.1" for url in urls):
        raise click.ClickException(
            f"{settings.home}/accounts.yaml must name one base_url, on 127.0.0.1 with a port: the demo spends no money"
        )
    return DemoHome(settings, urls.pop())


@contextmanager
def prepared(demo: DemoHome, *, verb: str, fresh: bool, ui_port: int | None = None) -> Iterator[HomeLock]:
    """Lock the home and lay out its state folder: a new one for `fresh`, else what an earlier demo left.

    Nothing is removed before everything else was looked at. Raises click.ClickException and ConfigError.
    """
    with lock_home(demo.settings.home, state=demo.state, verb=verb, now_ms=wall_ms()) as lock:
        others = sorted(path.name for path in demo.state.iterdir() if path.name not in (RECORD, IN_USE))
        if others and not (demo.state / MARK).exists():
            told = f"{demo.state} was not made by a demo (it holds {others[0]}), so the demo leaves it alone"
            raise click.ClickException(f"{told}: move it away, or name another home")
        _check(demo, ui_port)
        if fresh:
            with state_in_use(demo.state, alone=True):
                _empty(demo.state)
        for folder in (demo.state, demo.logs, demo.dagster_home):
            make_private_folder(folder)
        (demo.state / MARK).touch(mode=0o600)
        _write_configuration(demo)
        yield lock


def _check(demo: DemoHome, ui_port: int | None) -> None:
    """Look at everything that could keep the demo from running."""
    _check_port(urlsplit(demo.url).port or 80, f"change base_url in {demo.settings.home}/accounts.yaml")
    if ui_port is not None:
        _check_port(ui_port, f"say another: dev --port {ui_port % MAX_PORT + 1}")
    load_configuration(demo.settings, PROVIDERS, now=from_ms(wall_ms()))
    check_seeds(SandboxConfig(seeds=tuple(read_seeds(demo.seed_file))))
    for name in PROGRAMS:
        if not Path(tool(name)).exists():
            raise click.ClickException(f"{tool(name)} is missing: install the project with its dependencies")
    template(DAGSTER_CONFIGURATION).read_bytes()


def _check_port(port: int, todo: str) -> None:
    """Raise click.ClickException where a port of this machine is taken; `todo` says how to take another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            holder = "a sandbox" if answers(f"http://127.0.0.1:{port}/_sandbox/health") else "another program"
            told = f"port {port} can't be had ({error.strerror}): end {holder} that has it, or {todo}"
            raise click.ClickException(told) from None


def _empty(state: Path) -> None:
    """Remove what an earlier demo left. Its mark stays, so that a removal that was cut short can be begun again."""
    for path in state.iterdir():
        if path.name in (MARK, RECORD, IN_USE):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_configuration(demo: DemoHome) -> None:
    configured = template(DAGSTER_CONFIGURATION).read_text(encoding="utf-8")
    for path, content in ((demo.dagster_home / "dagster.yaml", configured), (demo.state / "workspace.yaml", WORKSPACE)):
        with open_private(path, "w") as file:
            file.write(content)


def template(name: str) -> Path:
    """Return a file of `deploy/`: in the package where it was installed from a wheel, in the checkout otherwise."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "deploy" / name
    return installed if installed.exists() else package.parent / "deploy" / name


@contextmanager
def sandbox(demo: DemoHome, lock: HomeLock) -> Iterator[Child]:
    """Yield the sandbox, running as a process of its own until the end of the block."""
    port = urlsplit(demo.url).port
    command = [
        sys.executable,
        "-m",
        "extend_pipeline.sandbox",
        "--state",
        str(demo.state / "sandbox"),
        "--port",
        str(port),
    ]
    command += ["--seed-file", str(demo.seed_file)]
    log = demo.logs / "sandbox.log"
    with running("the sandbox", command, log=log, environment=demo.environment(), lock=lock) as child:
        wait_for(lambda: answers(f"{demo.url}/_sandbox/health"), child=child, what="the sandbox", seconds=30)
        yield child


@contextmanager
def dagster(demo: DemoHome, lock: HomeLock, *words: str) -> Iterator[Child]:
    """Yield a Dagster program on the demo's instance, running until the end of the block."""
    command = [tool(words[0]), *words[1:], "-w", str(demo.state / "workspace.yaml")]
    log = demo.logs / f"{words[0]}.log"
    with running(words[0], command, log=log, environment=demo.environment(), lock=lock) as child:
        yield child
