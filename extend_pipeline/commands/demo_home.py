"""The demo's surroundings: a clean state, the sandbox's address, a DAGSTER_HOME of its own, and what the children
run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from extend_pipeline.base.private import make_private_folder, open_private
from extend_pipeline.commands.processes import Child, answers, running, tool, wait_for
from extend_pipeline.config.load import load_accounts
from extend_pipeline.config.settings import Settings
from extend_pipeline.sandbox import SandboxConfig

WORKSPACE = """\
load_from:
  - python_module:
      module_name: extend_pipeline.definitions
      location_name: extend_pipeline
"""

MARK = ".demo"
"""Lies in a state folder that a demo made: only such a folder is ever removed."""


@dataclass(frozen=True)
class DemoHome:
    """Where the demo lives. `url` is the sandbox's, as accounts.yaml has it."""

    settings: Settings
    url: str

    @property
    def state(self) -> Path:
        """All that the demo generates."""
        return self.settings.state_dir

    @property
    def dagster_home(self) -> Path:
        """The demo's own DAGSTER_HOME."""
        return self.state / "dagster"

    @property
    def logs(self) -> Path:
        """Logs of the child processes."""
        return self.state / "logs"

    def environment(self) -> dict[str, str]:
        """What the children see. The keys are the sandbox's own and open nothing else."""
        config = SandboxConfig()
        return {
            "EXTEND_PIPELINE_HOME": str(self.settings.home),
            "DAGSTER_HOME": str(self.dagster_home),
            "EXTEND_DEMO_ACCESS_KEY": config.access_key,
            "EXTEND_DEMO_SECRET_KEY": config.secret_key,
            "EXTEND_DEMO_GATEWAY_KEY": config.gateway.key,
            "EXTEND_DEMO_VIDU_KEY": config.vidu.key,
            "EXTEND_DEMO_LUMA_KEY": config.luma.key,
            "PYTHONUNBUFFERED": "1",
        }


def find(home: Path | None) -> DemoHome:
    """The demo home named on the command line, or data/demo. Raises ClickException where there is none."""
    settings = Settings.for_home(home if home is not None else Path("data/demo"))
    if not (settings.home / "catalog.yaml").exists():
        raise click.ClickException(
            f"there is no demo in {settings.home}: run it in a checkout of the project, or name one with --home"
        )
    urls = {account.base_url for account in load_accounts(settings).values()}
    if len(urls) != 1 or not all(urlsplit(url).hostname == "127.0.0.1" for url in urls):
        raise click.ClickException(
            f"{settings.home}/accounts.yaml must name one base_url, on 127.0.0.1 with a port: the demo spends no money"
        )
    return DemoHome(settings, urls.pop())


def prepare(demo: DemoHome, *, fresh: bool) -> None:
    """Lay out the state folder: a new one for `fresh`, else what an earlier demo left."""
    mark = demo.state / MARK
    if fresh and demo.state.exists():
        if not mark.exists():
            raise click.ClickException(
                f"{demo.state} was not made by a demo, so the demo will not remove it; move it away"
            )
        shutil.rmtree(demo.state)
    for folder in (demo.state, demo.logs, demo.dagster_home):
        make_private_folder(folder)
    mark.touch(mode=0o600)
    configured = template("dagster.yaml").read_text(encoding="utf-8")
    for path, content in ((demo.dagster_home / "dagster.yaml", configured), (demo.state / "workspace.yaml", WORKSPACE)):
        with open_private(path, "w") as file:
            file.write(content)


def template(name: str) -> Path:
    """A file of `deploy/`: in the package where it was installed from a wheel, in the checkout otherwise."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "deploy" / name
    return installed if installed.exists() else package.parent / "deploy" / name


@contextmanager
def sandbox(demo: DemoHome) -> Iterator[Child]:
    """The sandbox, running as a process of its own until the end of the block."""
    if answers(f"{demo.url}/_sandbox/health"):
        raise click.ClickException(
            f"a sandbox is running at {demo.url} already: end it, or the `make dev` that it belongs to"
        )
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
    command += ["--seed-file", str(demo.settings.home / "sandbox.json")]
    log = demo.logs / "sandbox.log"
    with running("the sandbox", command, log=log, environment=demo.environment()) as child:
        wait_for(lambda: answers(f"{demo.url}/_sandbox/health"), child=child, what="the sandbox", seconds=30)
        yield child


@contextmanager
def dagster(demo: DemoHome, *words: str) -> Iterator[Child]:
    """A Dagster program on the demo's instance, running until the end of the block."""
    command = [tool(words[0]), *words[1:], "-w", str(demo.state / "workspace.yaml")]
    log = demo.logs / f"{words[0]}.log"
    with running(words[0], command, log=log, environment=demo.environment()) as child:
        yield child
