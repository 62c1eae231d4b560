"""The sandbox as a process of its own, for the time of a measurement."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from extend_pipeline.sandbox import SandboxHandle


@contextmanager
def upstream(
    state: Path,
    *,
    seeds: Sequence[Mapping[str, Any]] = (),
    run_time: tuple[float, float] = (0, 0),
    port: int = 0,
) -> Iterator[SandboxHandle]:
    """Serve a sandbox whose films share files and whose tasks take `run_time` (s), and stop it at the end."""
    state.mkdir(parents=True, exist_ok=True)
    seed_file = state / "seeds.json"
    seed_file.write_text(json.dumps(list(seeds)), encoding="utf-8")
    command = [sys.executable, "-m", "extend_pipeline.sandbox", "--state", str(state), "--slots", "1000000"]
    command += ["--share-media", "--seed-file", str(seed_file), "--port", str(port)]
    command += ["--run-time", *map(str, run_time)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield SandboxHandle(process.stdout.readline().split()[-1])
    finally:
        process.terminate()
        process.communicate()
