"""`make chaos`: the chaos test as a command, with its figures.

`python -m extend_pipeline_tests.chaos [--seconds 60] [--seed N] [--ledger sqlite|postgresql] [--no-naive]`
"""

from __future__ import annotations

import argparse
import secrets
import sys
from contextlib import ExitStack

from extend_pipeline_tests.chaos.naive.run import run_naive
from extend_pipeline_tests.chaos.run import run_chaos, working_folder
from extend_pipeline_tests.chaos.table import chaos_table, naive_table
from extend_pipeline_tests.support.servers.postgres import PostgresServer


def main() -> int:
    """Blow, calm down, reckon, print. An AssertionError where a promise does not hold."""
    options = _parser().parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}; ledger on {options.ledger}; {options.seconds:g} s", flush=True)
    with ExitStack() as stack:
        folder = stack.enter_context(working_folder())
        url = f"sqlite:///{folder}/home/state/ledger.sqlite"
        if options.ledger == "postgresql":
            place = stack.enter_context(working_folder())  # short: a Unix socket's name may hold 107 bytes
            url = stack.enter_context(PostgresServer.started(place)).new_database("chaos")
        print(chaos_table(run_chaos(folder, url, seed=seed, seconds=options.seconds)), flush=True)
        if not options.no_naive:
            again = stack.enter_context(working_folder())
            print(naive_table(run_naive(again, seed=seed, seconds=min(options.seconds, 15.0))))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m extend_pipeline_tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the storm blows (default: 60)")
    parser.add_argument("--seed", type=int, help="approximates an earlier run (default: a new one, which is printed)")
    parser.add_argument("--ledger", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--no-naive", action="store_true", help="leave the naive client out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
