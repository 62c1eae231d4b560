"""The matrix as a command: `make matrix` plays all of it, `--slice` the part that runs with the other tests, and
`--only NAME` one scenario. Exit code 1 where anything was found."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.util import Finalize

from extend_pipeline_tests.faults.homes.factory import HomeFactory, new_folder
from extend_pipeline_tests.faults.processes.fork_server import end_with_parent
from extend_pipeline_tests.faults.report import failure_text, sums, table
from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult
from extend_pipeline_tests.faults.scenarios.combinations import EXCLUDED, matrix, matrix_slice, named
from extend_pipeline_tests.faults.scenarios.run import run_scenario
from extend_pipeline_tests.faults.scenarios.specials import SPECIALS, in_slice
from extend_pipeline_tests.faults.upstream import OTHER_PLACES, PROVIDERS, left_out
from extend_pipeline_tests.support.processes.children import CONTEXT

_A_TASK = 20
_REPORT_EVERY_S = 30.0

_own: list[HomeFactory] = []


def run_by_name(names: Sequence[str]) -> list[ScenarioResult]:
    """Play scenarios on this process's own factory, which is set up at the first call."""
    if not _own:
        _own.append(HomeFactory(new_folder()))
        Finalize(None, _own[0].close, exitpriority=10)
    known = {scenario.name: scenario for scenario in (*matrix(), *matrix_slice())}
    return [run_scenario(known[name], _own[0]) if name in known else SPECIALS[name](_own[0]) for name in names]


def run_all(names: Sequence[str], jobs: int) -> Iterator[list[ScenarioResult]]:
    """Play them in `jobs` processes; results as they come."""
    if jobs == 1:
        for name in names:
            yield run_by_name([name])
        return
    with ProcessPoolExecutor(jobs, mp_context=CONTEXT, initializer=end_with_parent) as pool:
        parts = [names[start : start + _A_TASK] for start in range(0, len(names), _A_TASK)]
        for done in as_completed([pool.submit(run_by_name, part) for part in parts]):
            yield done.result()


def run(names: Sequence[str], jobs: int, say: Callable[[str], object]) -> list[ScenarioResult]:
    """Play them, say what fails at once and how far it has come, and the table at the end."""
    began = reported_at = time.monotonic()
    results: list[ScenarioResult] = []
    for done in run_all(names, jobs):
        results += done
        for result in done:
            if result.findings:
                say(failure_text(result))
        if time.monotonic() - reported_at > _REPORT_EVERY_S:
            reported_at = time.monotonic()
            so_far = sums(results)
            say(
                f"{len(results):,} of {len(names):,} scenarios, {so_far.failed} failed, {so_far.kills:,} kills, "
                f"{so_far.charges:,} charges, {so_far.double} double, {so_far.unknown} unknown, "
                f"{reported_at - began:,.0f} s"
            )
    say(table(results))
    say(f"{time.monotonic() - began:,.0f} s with {jobs} processes")
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m extend_pipeline_tests.faults.matrix", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--full", action="store_true", help="every failpoint × fault × provider, and the specials")
    which.add_argument("--slice", action="store_true", help="each failpoint and each fault of a provider once")
    which.add_argument("--only", metavar="NAME", action="append", help="one scenario; may be given again")
    which.add_argument("--list", action="store_true", help="the names of all scenarios")
    which.add_argument("--excluded", action="store_true", help="what is not run, why, and what covers it")
    parser.add_argument("--provider", action="append", choices=PROVIDERS, help="of these providers only")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    options = parser.parse_args(arguments)
    providers = options.provider or PROVIDERS
    if options.excluded:
        print(excluded())
        return 0
    chosen = matrix_slice(providers) if options.slice else matrix(providers)
    specials = [name for name in SPECIALS if not options.slice or in_slice(name)]
    names = options.only or [*specials, *(scenario.name for scenario in chosen)]
    if options.list:
        print("\n".join(names))
        return 0
    for name in options.only or ():
        if name not in SPECIALS:
            named(name)
    results = run(names, 1 if options.only else options.jobs, lambda text: print(text, flush=True))
    return int(any(result.findings for result in results))


def excluded() -> str:
    """Return what is not run, as one table."""
    lines = ["failpoints that are not walked:"]
    lines += [f"  {e.prefix + '*':14}{', '.join(e.providers):40}{e.reason} → {e.covered_by}" for e in EXCLUDED]
    lines.append("places of faults:")
    lines += [f"  {place:14}{why}" for place, why in OTHER_PLACES.items()]
    for provider in PROVIDERS:
        lines.append(f"faults that are not ordered for {provider}:")
        lines += [f"  {kind:20}{why}" for kind, why in left_out(provider).items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
