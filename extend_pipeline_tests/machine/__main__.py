"""`python -m extend_pipeline_tests.machine`: long runs of the machine with examples of one's own choice."""

from __future__ import annotations

import argparse
import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from extend_pipeline_tests.machine.counters import Counters
from extend_pipeline_tests.machine.rules.machine import Machine
from extend_pipeline_tests.machine.world.world import WorldFactory
from extend_pipeline_tests.support.servers.postgres import PostgresServer


def main() -> None:
    """Run examples, and say what really happened in them."""
    parser = argparse.ArgumentParser(prog="python -m extend_pipeline_tests.machine", description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="how many examples")
    parser.add_argument("--steps", type=int, default=50, help="how many steps an example has at most")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same examples")
    parser.add_argument("--postgres", action="store_true", help="the ledger on PostgreSQL instead of SQLite")
    parser.add_argument("--no-shrink", action="store_true", help="tell the first failure as it came")
    options = parser.parse_args()
    counters = Counters()
    shrinking = () if options.no_shrink else (Phase.shrink,)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ep-machine-")))
        ledgers = None
        if options.postgres:
            server = stack.enter_context(PostgresServer.started(folder / "pg"))
            ledgers = (server.new_ledger(f"machine_{number}") for number in itertools.count())

        class Chosen(Machine):
            factory = WorldFactory(folder / "factory", counters, ledgers)

        try:
            run_state_machine_as_test(
                seed(options.seed)(Chosen),
                settings=settings(
                    max_examples=options.examples,
                    stateful_step_count=options.steps,
                    deadline=None,
                    database=None,
                    print_blob=True,
                    phases=(Phase.generate, *shrinking),
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            print(counters.table(), flush=True)


main()
