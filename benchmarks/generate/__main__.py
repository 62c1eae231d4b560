"""`python -m benchmarks.generate HOME --videos N --hops K`: a home whose ledger has a consistent history of any size.

Its invariants hold, a replay of its events gives its tables, and every command works on it. The same arguments with the
same `--now` make the same history. Environment for work on it: BENCH_ACCESS_KEY and BENCH_SECRET_KEY, the sandbox's.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.generate.build import Wanted, build_home
from benchmarks.generate.load import LedgerNotEmptyError
from extend_pipeline.config.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the home that the arguments describe; return 0, or 2 where its ledger is not empty."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("--videos", type=int, required=True)
    parser.add_argument("--hops", type=int, default=10)
    parser.add_argument("--open", type=int, default=0, dest="open_videos", help="videos with their last hop in flight")
    parser.add_argument("--accounts", type=int, default=1, help="accounts of the sandbox that share the videos")
    parser.add_argument("--days", type=int, default=30, help="over which the finished videos are spread")
    parser.add_argument("--ledger-url", help="default: SQLite in the home")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--now", type=int, default=time.time_ns() // 1_000_000, dest="now_ms", help="UTC ms")
    parser.add_argument("--no-files", action="store_false", dest="files", help="leave the media store empty")
    parser.add_argument("--url", default="http://127.0.0.1:9", help="of the sandbox")
    parser.add_argument("--sandbox", type=Path, help="folder for the state of a sandbox that knows what is in flight")
    parser.add_argument("--runs-for", type=float, default=3600, dest="runs_for_s", help="of its tasks, in seconds")
    options = vars(parser.parse_args(arguments))
    home, ledger_url = options.pop("home"), options.pop("ledger_url")
    settings = Settings(home=home, **({"ledger_url": ledger_url} if ledger_url else {}))
    began = time.monotonic()
    try:
        events = build_home(settings, Wanted(**options))
    except LedgerNotEmptyError as error:
        print(f"{home}: {error}", file=sys.stderr)
        return 2
    print(f"{home}: {options['videos']} videos, {events} events, {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
