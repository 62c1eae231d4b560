"""The same hop in other engines: submit → poll → download → record, in DBOS and in Prefect, beside `advance`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bare.providers import headers
from benchmarks.context import Context
from benchmarks.measure import CLI, KEYS, Cost, ProgramFailedError, run
from benchmarks.report import Section, ratio
from benchmarks.services import cpu_of, service
from benchmarks.upstream import upstream
from benchmarks.worlds import seeds, sources, write_world
from extend_pipeline_tests.support.servers.ports import free_port

PINNED: Final = {"dbos": "dbos==3.4.0", "prefect": "prefect==3.9.1"}
HOPS: Final = 200
FEW: Final = 10
"""Hops of a short run beside each: what both have in common is the start of a program."""

MONEY_PATH: Final = "advance, money path"

_ROOT: Final = Path(__file__).parents[2]
_ALONE: Final = (sys.executable, "-m", "benchmarks.without_films")


class NotInstalledError(Exception):
    """An engine could not be installed from the package index."""


@dataclass(frozen=True)
class Engine:
    """A program that takes hops: from context, sandbox and number of videos to what it costs."""

    name: str
    take: Callable[[Context, str, int], Cost]


def measure(context: Context) -> Section:
    """Measure every engine with a few hops and with many."""
    count = max(2 * FEW, context.scaled(HOPS))
    section = Section("The same hop in other engines")
    engines = [
        Engine("bare script", _bare),
        Engine(MONEY_PATH, lambda context, url, count: _advance(context, url, count, _ALONE)),
        Engine("advance, with films", lambda context, url, count: _advance(context, url, count, CLI)),
    ]
    for name, program in (("dbos", _dbos), ("prefect", _prefect)):
        try:
            python = _environment(context, name)
        except NotInstalledError as error:
            section.note(f"{PINNED[name]} could not be installed, and is left out: {error}")
            continue
        engines.append(Engine(PINNED[name], lambda *given, take=program, python=python: take(*given, python)))
    measured = {}
    for engine in engines:
        few, many = (_measured(context, engine, number) for number in (FEW, count))
        measured[engine.name] = ((many.cpu - few.cpu) / (count - FEW), many.wall - few.wall, many.memory)
    ours = measured[MONEY_PATH][0]
    rows = [
        [name, f"{cpu * 1000:.1f} ms", f"{(count - FEW) / max(0.001, wall):.1f}", f"{memory:.0f} MB", ratio(ours, cpu)]
        for name, (cpu, wall, memory) in measured.items()
    ]
    section.note(
        f"Kling, one hop of each of {count} videos; what {FEW} of them cost is taken away, and so the start of each "
        "program. Prefect's costs hold those of its server."
    )
    columns = ["", "CPU a hop", "hops/s", "peak memory", "money path / this"]
    section.table(columns, rows)
    return section


def _measured(context: Context, engine: Engine, count: int) -> Cost:
    state = context.home("sandbox").settings.home
    with upstream(state, seeds=seeds("kling", count)) as sandbox:
        cost = engine.take(context, sandbox.base_url, count)
        charges = len(sandbox.charges()["charges"])
    if charges != count:
        raise ProgramFailedError(f"{engine.name}: {charges} charges for {count} hops\n{cost.output[-2000:]}")
    return cost


def _bare(context: Context, url: str, count: int) -> Cost:
    folder = context.home("bare").settings.home
    (folder / "sources.json").write_text(json.dumps(sources("kling", count, url)))
    command = [sys.executable, "-m", "benchmarks.bare.extend", "kling", url]
    return run([*command, str(folder / "sources.json"), "1", str(folder / "work")])


def _advance(context: Context, url: str, count: int, program: tuple[str, ...]) -> Cost:
    home = context.home("advance")
    write_world(home.settings.home, "kling", count, url)
    return run([*program, "advance", "--until-idle"], home.environment)


def _dbos(context: Context, url: str, count: int, python: Path) -> Cost:
    return run([str(python), "-m", "benchmarks.engines.on_dbos", _work(context, url, count)], _paths())


def _prefect(context: Context, url: str, count: int, python: Path) -> Cost:
    with _prefect_server(context, python) as (server, environment):
        before = cpu_of(server)
        program = [str(python), "-m", "benchmarks.engines.on_prefect", _work(context, url, count)]
        cost = run(program, {**_paths(), **environment})
        return Cost(cost.wall, cost.cpu + cpu_of(server) - before, cost.memory, cost.output)


def _work(context: Context, url: str, count: int) -> str:
    folder = context.home("engine").settings.home
    given = {"url": url, "headers": headers("kling"), "sources": sources("kling", count, url)}
    (folder / "work.json").write_text(json.dumps({**given, "folder": str(folder / "work")}))
    return str(folder / "work.json")


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": str(_ROOT)}


@contextmanager
def _prefect_server(context: Context, python: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Run a Prefect server with its state in SQLite; yield its process id and the environment of its clients."""
    port, home = free_port(), context.home("prefect").settings.home
    environment = {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "DO_NOT_TRACK": "1",
    }
    command = [str(python), "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    ready = f"http://127.0.0.1:{port}/api/health"
    with service(command, environment, log=home / "server.log", ready=ready) as pid:
        yield pid, environment


def _environment(context: Context, name: str) -> Path:
    """Return the Python of an environment that has one engine; made at the first use. Raises NotInstalledError."""
    folder = context.environments.absolute() / PINNED[name].replace("==", "-")
    python = folder / "bin" / "python"
    if (folder / "complete").exists():
        return python
    try:
        _pip([sys.executable, "-m", "venv", "--clear", str(folder)])
        _pip([str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", PINNED[name], "httpx", "pyjwt"])
    except subprocess.SubprocessError as error:
        output = str(getattr(error, "output", "") or error)
        raise NotInstalledError(output.strip().splitlines()[-1][:200]) from None
    (folder / "complete").touch()
    return python


def _pip(command: list[str]) -> None:
    hidden = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *KEYS)}
    subprocess.run(
        command, check=True, timeout=300, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=hidden
    )
