"""`advance` against the bare script: the money path alone, and with looking at films."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.context import Context, Home
from benchmarks.films import place_films
from benchmarks.measure import CLI, Cost, ProgramFailedError, median, run
from benchmarks.report import Section, ratio
from benchmarks.upstream import upstream
from benchmarks.worlds import PROVIDERS, provider_keys, seeds, sources, write_world

VIDEOS: Final = {"kling": 200, "kling-gateway": 100, "vidu": 100, "luma": 100}
CHAINS: Final = (60, 5)  # videos, and hops of each: a source is fetched once, and a start counts little
LARGE: Final = ((1280, 720), (1920, 1080))
LARGE_VIDEOS: Final = 2
LARGE_HOPS: Final = 2
LARGE_SOURCE_S: Final = 60

_ALONE: Final = (sys.executable, "-m", "benchmarks.without_films")
_BARE: Final = (sys.executable, "-m", "benchmarks.bare.extend")


@dataclass(frozen=True)
class Work:
    """Videos of one provider, how often each is extended, and the films that a sandbox has for them already."""

    name: str
    provider: str
    videos: int
    hops: int = 1
    duration: float = 5.0
    films: Path | None = None


def measure(context: Context) -> Section:
    """Measure the two programs in turn, so that a change in the machine's speed affects both."""
    section = Section("`advance` against the bare script")
    works = [Work(provider, provider, context.scaled(VIDEOS[provider])) for provider in PROVIDERS]
    videos, hops = CHAINS
    works.append(Work(f"kling, {hops} hops a video", "kling", context.scaled(videos), hops))
    section.note(
        "CPU seconds a hop, hops a second and peak memory (MB), medians; the start of a program is in them. "
        "*Money path*: the pipeline without looking at films, the script without opening them. With one hop a "
        "video, the pipeline fetches a copy of each source too."
    )
    _table(context, section, works, runs=context.runs)
    section.note(
        f"Films of a minute: sources of {_source_s(context)} s, {LARGE_HOPS} hops each, textured. The pipeline also "
        "fetches a copy of each source, to compare the first hop with; the script doesn't."
    )
    _table(context, section, [_large(context, *size) for size in LARGE], runs=1)
    return section


def _large(context: Context, width: int, height: int) -> Work:
    films = context.folder / f"films-{height}"
    place_films(films, width=width, height=height, source_ms=_source_s(context) * 1000, hops=LARGE_HOPS)
    return Work(f"kling, {height}p", "kling", LARGE_VIDEOS, LARGE_HOPS, _source_s(context), films)


def _source_s(context: Context) -> int:
    return min(LARGE_SOURCE_S, max(5, context.scaled(LARGE_SOURCE_S)))


def _table(context: Context, section: Section, works: list[Work], *, runs: int) -> None:
    rows = []
    for work in works:
        for kind, films in (("money path", False), ("with films", True)):
            if work.films and not films:
                continue
            pairs = [
                (_measured(context, work, _bare(films)), _measured(context, work, _ours(films))) for _ in range(runs)
            ]
            bare, ours = median([pair[0] for pair in pairs]), median([pair[1] for pair in pairs])
            rows.append([f"{work.name}, {kind}", *_cells(work, bare, ours)])
    cpu, speed, memory = ([f"script {what}", f"advance {what}"] for what in ("CPU", "hops/s", "MB"))
    columns = ["", *cpu, "ratio", *speed, "ratio", *memory]
    section.table(columns, rows)


def _cells(work: Work, bare: Cost, ours: Cost) -> list[str]:
    count = work.videos * work.hops
    cpu = [f"{cost.cpu / count:.4f}" for cost in (bare, ours)]
    speed = [f"{count / cost.wall:.1f}" for cost in (bare, ours)]
    memory = [f"{cost.memory:.0f}" for cost in (bare, ours)]
    return [*cpu, ratio(ours.cpu, bare.cpu), *speed, ratio(bare.wall, ours.wall), *memory]


Program = Callable[[Context, Work, str], Cost]


def _bare(films: bool) -> Program:
    def program(context: Context, work: Work, url: str) -> Cost:
        folder = context.home("bare").settings.home
        (folder / "sources.json").write_text(json.dumps(sources(work.provider, work.videos, url)))
        command = [*_BARE, work.provider, url, str(folder / "sources.json"), str(work.hops), str(folder / "work")]
        cost = run([*command, "--films"] if films else command)
        shutil.rmtree(folder)
        return cost

    return program


def _ours(films: bool) -> Program:
    def program(context: Context, work: Work, url: str) -> Cost:
        home: Home = context.home("advance")
        write_world(home.settings.home, work.provider, work.videos, url, hops=work.hops, duration=work.duration)
        environment = home.environment | provider_keys()
        cost = run([*(CLI if films else _ALONE), "advance", "--until-idle"], environment)
        shutil.rmtree(home.settings.home)
        return cost

    return program


def _measured(context: Context, work: Work, program: Program) -> Cost:
    """Run a program against a new sandbox; raise ProgramFailedError where it has not bought each hop once."""
    state = context.home("sandbox").settings.home
    if work.films is not None:
        (state / "media").symlink_to(work.films / "media")
    with upstream(state, seeds=seeds(work.provider, work.videos, duration=work.duration)) as sandbox:
        cost = program(context, work, sandbox.base_url)
        charged = sandbox.charges()
    count = work.videos * work.hops
    if len(charged["charges"]) != count or charged["double"]:
        raise ProgramFailedError(
            f"{work.name}: {len(charged['charges'])} charges for {count} hops\n{cost.output[-2000:]}"
        )
    shutil.rmtree(state)
    return cost
