"""`make bench`: what the pipeline costs, as ratios to programs that do the same work, all measured in one session.

`python -m benchmarks.bench --parts table,advance --sizes 1000,10000`. Writes the results beside this file. The parts:

    table       status, advance, sensors, claim, publish and invariants with 1,000 to 100,000 finished videos
    advance     the money path and the whole of it against bare scripts; four providers; small films and real ones
    ledger      1, 4 and 8 processes at one ledger, on SQLite and PostgreSQL
    warehouse   publish and views, and how long writers wait meanwhile, with the most videos of --sizes
    polling     10,000 tasks in flight
    engines     the same work in DBOS and in Prefect
    dagster     one run for many hops, and a run a hop

Parts that `--parts` must name, because they take longer:

    neighbours  one account beside a silent, a slow and a failing one, by the command line and through Dagster
    fleet       four `advance` at once: 10,000 videos of 3 hops (times --scale), on SQLite and PostgreSQL
    growth      one `advance` over 20,000 videos: its speed over the first and over the last 1,000
    writers     how long writers wait while something reads all of the largest home, on SQLite and PostgreSQL
    partitions  a real Dagster with the most videos of --sizes: every sensor's ticks, memory, a page in a browser
    daemon      500 videos of 2 hops (times --scale) through a real Dagster: runs, CPU a hop, seconds until they show
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.context import Context, opened
from benchmarks.measure import ProgramFailedError
from benchmarks.report import Section, session

PARTS = ("table", "advance", "ledger", "warehouse", "polling", "engines", "dagster")
ON_DEMAND = ("neighbours", "fleet", "growth", "writers", "partitions", "daemon")
RESULTS = Path(__file__).with_name("results").with_suffix(".md")


def main() -> int:
    """Measure the chosen parts and write the results after each; return 1 if a part has failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="some of them, in this order")
    parser.add_argument("--sizes", default="1000,10000,100000", help="numbers of finished videos")
    parser.add_argument("--hops", type=int, default=10, help="of each of them")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the work of the other parts")
    parser.add_argument("--runs", type=int, default=3, help="of each program, where medians are taken")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds after which one command is ended")
    parser.add_argument(
        "--database",
        choices=Context.databases,
        help="of the homes (by default SQLite), and the only one where a part measures both",
    )
    parser.add_argument("--watch", type=float, default=Context.watch_s, help="seconds for which Dagster is watched")
    parser.add_argument("--folder", type=Path, help="for homes and films; by default a temporary one")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    parts = options.parts.split(",")
    if unknown := set(parts) - {*PARTS, *ON_DEMAND}:
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}; known: {', '.join([*PARTS, *ON_DEMAND])}")
    with tempfile.TemporaryDirectory(prefix="ep-bench-", dir=options.folder) as name:
        context = Context(
            Path(name),
            sizes=tuple(map(int, options.sizes.split(","))),
            hops=options.hops,
            scale=options.scale,
            runs=options.runs,
            limit_s=options.limit,
            database=options.database or Context.database,
            databases=(options.database,) if options.database else Context.databases,
            watch_s=options.watch,
        )
        with opened(context):
            return _measure(context, parts, options.results)


def _measure(context: Context, parts: list[str], results: Path) -> int:
    text, failed = [f"# Results of `make bench`\n\n{session()}"], False
    for name in parts:
        began = time.monotonic()
        try:
            folder = "on_demand" if name in ON_DEMAND else "parts"
            section: Section = importlib.import_module(f"benchmarks.{folder}.{name}").measure(context)
        except ProgramFailedError as error:
            section, failed = Section(f"{name}: failed", ["", "```", str(error), "```"]), True
        section.note(f"Measured in {time.monotonic() - began:.0f} s.")
        text.append(section.markdown())
        print(text[-1], flush=True)
        results.write_text("\n".join(text), encoding="utf-8")
    print(f"written to {results}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
