"""The demo's home: its state folder, the sandbox's address, a DAGSTER_HOME of its own, and the child processes."""

import importlib.util
import os
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
from extend_pipeline.commands.demo.processes import Child, is_up, running, wait_for
from extend_pipeline.commands.demo.sandbox import read_seeds
from extend_pipeline.commands.render.output import say
from extend_pipeline.commands.shared.new_home import IGNORED, shipped_text, write_missing, written_to
from extend_pipeline.config.load import load_accounts, load_configuration
from extend_pipeline.config.settings import PREFIX, Settings
from extend_pipeline.engine.guards.state_in_use import IN_USE, state_in_use
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.sandbox import SandboxConfig, check_seeds

FILES = ("accounts.yaml", "catalog.yaml", "sandbox.json")
"""Names of the files in data/demo that make a folder a home of the demo."""

DAGSTER_CONFIGURATION = "deploy/dagster.yaml"
WORKSPACE = "workspace.yaml"
MAX_PORT = 65535
PROGRAMS = {"dagster-daemon": "dagster._daemon", "dagster-webserver": "dagster_webserver"}
"""The module of each program of Dagster that the demo runs. As modules they run in this environment, also where it has
no scripts of its own."""

MARK = ".demo"
"""Name of a file that marks a state folder as made by a demo. Only such a folder is ever emptied."""


@dataclass(frozen=True)
class DemoHome:
    """The home of a demo. `url` is the sandbox's address in accounts.yaml."""

    settings: Settings
    url: str

    @property
    def state(self) -> Path:
        """Return the folder of all generated files."""
        return self.settings.state_dir

    @property
    def dagster_home(self) -> Path:
        """Return the demo's own DAGSTER_HOME."""
        return self.state / "dagster"

    @property
    def logs(self) -> Path:
        """Return the folder of the child processes' logs."""
        return self.state / "logs"

    @property
    def seed_file(self) -> Path:
        """Return the file with the sandbox's source videos."""
        return self.settings.home / "sandbox.json"

    def environment(self) -> dict[str, str]:
        """Return the variables that the children get. The keys are valid at the sandbox only."""
        config = SandboxConfig()
        return {
            "EXTEND_PIPELINE_HOME": str(self.settings.home),
            "DAGSTER_HOME": str(self.dagster_home),
            "EXTEND_DEMO_ACCESS_KEY": config.access_key,
            "EXTEND_DEMO_SECRET_KEY": config.secret_key,
            **{f"EXTEND_DEMO_{name.upper()}_KEY": settings.key for name, settings in config.others.items()},
            "PYTHONUNBUFFERED": "1",
            # a module in the current folder, such as a random.py, must not replace one that a child imports
            "PYTHONSAFEPATH": "1",
        }


def find(home: Path | None) -> DemoHome:
    """Return the demo home in `--home`, else data/demo in the current folder; its files are written into a new or empty
    folder. Raises click.ClickException if the folder holds something else, and ConfigError."""
    _leave_out_other_homes()
    settings = Settings.for_home(home if home is not None else Path("data/demo"))
    _write_files(settings)
    urls = {account.base_url for account in load_accounts(settings, PROVIDERS).values()}
    if len(urls) != 1 or not all(urlsplit(url).hostname == "127.0.0.1" for url in urls):
        raise click.ClickException(
            f"{settings.home}/accounts.yaml must name one base_url, on 127.0.0.1 with a port: the demo spends no money"
        )
    return DemoHome(settings, urls.pop())


def _leave_out_other_homes() -> None:
    """Remove the shell's own home, ledger and media store from the environment, because the demo has its own."""
    own = {f"{PREFIX}{name}" for name in ("HOME", "LEDGER_URL", "MEDIA_URL")}
    names = sorted(name for name in os.environ if name.upper() in own)
    for name in names:
        del os.environ[name]
    if names:
        say(f"the demo has its own home, ledger and films, and leaves out {', '.join(names)};")
        say("unset what is named there before you look at the demo with other commands")


def _write_files(settings: Settings) -> None:
    """Write the demo's files into a new or empty folder. Raises click.ClickException if it holds something else and
    not all of them."""
    home = settings.home
    missing = [name for name in FILES if not (home / name).exists()]
    if not missing:
        return
    with written_to(home):
        others = sorted(path.name for path in home.iterdir() if not path.name.startswith("."))
        if others and not (others == [settings.state_dir.name] and (settings.state_dir / MARK).exists()):
            raise click.ClickException(
                f"{home} is no home of the demo: it holds {others[0]}, and {missing[0]} is missing. Put that back, or "
                "name a new or empty folder with --home, and the demo writes its files there"
            )
        contents = {name: shipped_text(f"data/demo/{name}") for name in FILES}
        write_missing(home, {**contents, ".gitignore": IGNORED})
    say(f"wrote {', '.join(FILES)} to {home}; all that the demo makes goes to {settings.state_dir}")


@contextmanager
def prepared(demo: DemoHome, *, verb: str, fresh: bool, ui_port: int | None = None) -> Iterator[HomeLock]:
    """Lock the home and prepare its state folder: an empty one if `fresh`, else that of an earlier demo.

    Nothing is removed before all other checks have passed. Raises click.ClickException and ConfigError.
    """
    with lock_home(demo.settings.home, state=demo.state, verb=verb, now_ms=wall_ms()) as lock:
        names = sorted(path.name for path in demo.state.iterdir() if path.name not in (RECORD, IN_USE))
        if names and not (demo.state / MARK).exists():
            message = f"{demo.state} was not made by a demo (it holds {names[0]}), so the demo leaves it alone"
            raise click.ClickException(f"{message}: move it away, or name another home")
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
    """Check ports, configuration, seeds and programs. Raises click.ClickException and ConfigError."""
    todo = f"write another into accounts.yaml and catalog.yaml of {demo.settings.home}"
    _check_port(urlsplit(demo.url).port or 80, todo)
    if ui_port is not None:
        _check_port(ui_port, f"choose another: dev --port {ui_port % MAX_PORT + 1}")
    load_configuration(demo.settings, PROVIDERS, now=from_ms(wall_ms()))
    check_seeds(SandboxConfig(seeds=tuple(read_seeds(demo.seed_file))))
    for package in (module.partition(".")[0] for module in PROGRAMS.values()):
        if importlib.util.find_spec(package) is None:
            raise click.ClickException(f"{package} is missing: install extend_pipeline with its dependencies")


def _check_port(port: int, todo: str) -> None:
    """Raise click.ClickException if a port of this machine is in use. `todo` says how to choose another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            holder = "a sandbox" if is_up(f"http://127.0.0.1:{port}/_sandbox/health") else "another program"
            message = f"port {port} is not free ({error.strerror}): end {holder} that uses it, or {todo}"
            raise click.ClickException(message) from None


def _empty(state: Path) -> None:
    """Remove the state of an earlier demo. The mark stays, so that an interrupted removal can be repeated."""
    for path in state.iterdir():
        if path.name in (MARK, RECORD, IN_USE):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write_configuration(demo: DemoHome) -> None:
    for path, name in (
        (demo.dagster_home / "dagster.yaml", DAGSTER_CONFIGURATION),
        (demo.state / "workspace.yaml", WORKSPACE),
    ):
        content = shipped_text(name)
        with open_private(path, "w") as file:
            file.write(content)


@contextmanager
def sandbox(demo: DemoHome, lock: HomeLock) -> Iterator[Child]:
    """Run the sandbox as a child process until the end of the block."""
    command = [sys.executable, "-m", "extend_pipeline.sandbox", "--state", str(demo.state / "sandbox")]
    command += ["--port", str(urlsplit(demo.url).port), "--seed-file", str(demo.seed_file)]
    log = demo.logs / "sandbox.log"
    with running("the sandbox", command, log=log, environment=demo.environment(), lock=lock) as child:
        wait_for(lambda: is_up(f"{demo.url}/_sandbox/health"), child=child, what="the sandbox", seconds=30)
        yield child


@contextmanager
def dagster(demo: DemoHome, lock: HomeLock, program: str, *arguments: str) -> Iterator[Child]:
    """Run a Dagster program on the demo's instance until the end of the block."""
    command = [sys.executable, "-m", PROGRAMS[program], *arguments, "-w", str(demo.state / "workspace.yaml")]
    log = demo.logs / f"{program}.log"
    with running(program, command, log=log, environment=demo.environment(), lock=lock) as child:
        yield child
