"""`make bench`: extend videos by one hop each with `extend-pipeline advance --until-idle` and with the bare script, in
turn, against a sandbox whose tasks finish at once. Prints seconds, CPU seconds and peak memory of each, and the ratios.

`python -m benchmarks.bench [--videos 200] [--runs 3] [--profile FILE]`
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from extend_pipeline.sandbox import SandboxConfig, SandboxHandle

ACCOUNTS = """
accounts:
  - name: bench
    provider: kling
    base_url: {url}
    credentials: {{access_key_env: BENCH_ACCESS_KEY, secret_key_env: BENCH_SECRET_KEY}}
    max_in_flight: 200
    allow_local: true
    budget: {{per_day: 1000000, total: 1000000}}
    poll: {{first_after: 0, every: 0.2}}
"""


@dataclass(frozen=True)
class Cost:
    """The cost of one process: wall seconds, CPU seconds, peak memory in MB."""

    wall: float
    cpu: float
    memory: float


def run(command: list[str], environment: dict[str, str]) -> Cost:
    """Run a command to its end and return its cost from the kernel. Raises RuntimeError if it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    wall = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(f"{command[:6]} ended with {process.returncode}:\n{output.decode(errors='replace')[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def measure(folder: Path, videos: int, program: str, profile: str | None) -> Cost:
    """Run one program against a new sandbox in another process, and return its cost."""
    folder.mkdir()
    seeds = folder / "seeds.json"
    seeds.write_text(json.dumps([{"video_id": str(800000000000000000 + n), "duration": 5.0} for n in range(videos)]))
    command = [
        sys.executable,
        "-m",
        "extend_pipeline.sandbox",
        "--state",
        str(folder / "sandbox"),
        "--run-time",
        "0",
        "0",
    ]
    command += ["--slots", "1000", "--share-media", "--seed-file", str(seeds)]
    sandbox = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert sandbox.stdout is not None
        url = sandbox.stdout.readline().split()[-1]
        cost = _run_program(folder, url, videos, program, profile)
        charged = SandboxHandle(url).charges()
        if len(charged["charges"]) != videos or charged["double"]:
            raise RuntimeError(f"{program}: {len(charged['charges'])} charges for {videos} videos")
        return cost
    finally:
        sandbox.terminate()
        sandbox.communicate()


def _run_program(folder: Path, url: str, videos: int, program: str, profile: str | None) -> Cost:
    if program == "bare":
        return run([sys.executable, "-m", "benchmarks.bare", url, str(videos), str(folder / "bare")], {})
    home = folder / "home"
    home.mkdir()
    (home / "accounts.yaml").write_text(ACCOUNTS.format(url=url))
    entries = "".join(
        f"  - {{key: v{n:05}, account: bench, source: {{video_id: '{800000000000000000 + n}', model: kling-v1-6,"
        f" mode: std, duration: 5.0}}, extend: {{steps: 1, prompt: p{n}}}}}\n"
        for n in range(videos)
    )
    (home / "catalog.yaml").write_text("videos:\n" + entries)
    profiler = ["-m", "cProfile", "-o", profile] if profile else []
    command = [sys.executable, *profiler, "-m", "extend_pipeline.cli", "--home", str(home), "advance", "--until-idle"]
    config = SandboxConfig()
    keys = {"BENCH_ACCESS_KEY": config.access_key, "BENCH_SECRET_KEY": config.secret_key}
    return run(command, keys)


def main() -> None:
    """Measure both programs in turn, so that a change in the machine's speed affects both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--profile", help="write a cProfile of one more advance to this file (without its threads)")
    arguments = parser.parse_args()
    costs: dict[str, list[Cost]] = {"advance": [], "bare": []}
    with tempfile.TemporaryDirectory(prefix="ep-bench-") as name:
        for number in range(arguments.runs):
            for program in costs:
                folder = Path(name) / f"{program}-{number}"
                costs[program].append(measure(folder, arguments.videos, program, None))
                shutil.rmtree(folder)
        if arguments.profile:
            measure(Path(name) / "profile", arguments.videos, "advance", arguments.profile)
    print(f"{arguments.videos} videos, one hop each, {arguments.runs} runs of each, medians")
    print(f"{'':10}{'wall s':>10}{'CPU s':>10}{'peak MB':>10}")
    medians = {program: _median(runs) for program, runs in costs.items()}
    for program, cost in medians.items():
        print(f"{program:10}{cost.wall:>10.2f}{cost.cpu:>10.2f}{cost.memory:>10.0f}")
    advance, bare = medians["advance"], medians["bare"]
    ratios = advance.wall / bare.wall, advance.cpu / bare.cpu, advance.memory / bare.memory
    print(f"{'ratio':10}{ratios[0]:>10.2f}{ratios[1]:>10.2f}{ratios[2]:>10.2f}")


def _median(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall", "cpu", "memory")))


if __name__ == "__main__":
    main()
