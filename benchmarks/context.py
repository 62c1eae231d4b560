"""What every part of the benchmark gets: a folder, a database, sizes and limits."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.generate.build import Wanted, build_home
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.home import wall_ms

SETTINGS: Mapping[str, Any] = {"min_free_bytes": 0, "result_bytes": 0}


@dataclass(frozen=True)
class Home:
    """A home of the benchmark: its settings, and the environment variables that say the same to a process."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables."""
        names = {"HOME": str(self.settings.home), "LEDGER_URL": self.settings.ledger_url}
        names |= {name.upper(): str(value) for name, value in SETTINGS.items()}
        return {f"EXTEND_PIPELINE_{name}": value for name, value in names.items()}


@dataclass
class Context:
    """The folder and the wishes of one run. `sizes` are numbers of videos of `hops` hops; `scale` multiplies the work
    of the other parts, `runs` is how often a program is run where medians are taken; no single command may take longer
    than `limit_s`. Homes are on `database`; what is measured on each of them is measured on `databases`. A running
    Dagster is watched for `watch_s`. Other engines are kept in `environments`, outside of the repository, whose files
    its tests read."""

    folder: Path
    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    hops: int = 10
    scale: float = 1.0
    runs: int = 3
    limit_s: float = 60.0
    database: str = "sqlite"
    databases: tuple[str, ...] = ("sqlite", "postgresql")
    watch_s: float = 300.0
    environments: Path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "extend_pipeline-bench"
    _made: dict[tuple[str, int], Home] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _server: Any = None

    def scaled(self, count: int) -> int:
        """Return how many of something to do."""
        return max(1, round(count * self.scale))

    def home(self, name: str, *, database: str | None = None) -> Home:
        """Return an empty home with a ledger of its own on a database (the run's own by default)."""
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir(parents=True)
        url = f"sqlite:///{folder}/state/ledger.sqlite"
        if (database or self.database) == "postgresql":
            url = self._postgres().new_database(f"bench_{next(self._numbers)}")
        return Home(Settings(home=folder, ledger_url=url, **SETTINGS))

    def finished_home(self, videos: int, *, database: str | None = None) -> Home:
        """Return a home with so many finished videos on a database (the run's own by default); made once, for all parts
        that look at it."""
        key = (database or self.database, videos)
        if key not in self._made:
            self._made[key] = home = self.home(f"finished-{videos}", database=key[0])
            build_home(home.settings, Wanted(videos=videos, hops=self.hops, now_ms=wall_ms()))
        return self._made[key]

    def _postgres(self) -> Any:
        if self._server is None:
            from benchmarks.postgres import Server

            self._server = Server(self.folder / "postgresql")
        return self._server

    def close(self) -> None:
        """Stop what was started."""
        if self._server is not None:
            self._server.close()


@contextmanager
def opened(context: Context) -> Iterator[Context]:
    """Yield the context; stop at the end what it has started."""
    try:
        yield context
    finally:
        context.close()
