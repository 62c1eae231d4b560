"""The matrix as a command: `make matrix` plays all of it, `--slice` the part that runs with the other tests, and
`--only NAME` one scenario. Exit code 1 where anything was found."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.util import Finalize

from extend_pipeline_tests.faults.audit import Trial
from extend_pipeline_tests.faults.nursery import end_with_parent
from extend_pipeline_tests.faults.report import sums, table, told
from extend_pipeline_tests.faults.scenarios import EXCLUDED, matrix, matrix_slice, named
from extend_pipeline_tests.faults.specials import SPECIALS, in_slice
from extend_pipeline_tests.faults.stage import Stage, ground
from extend_pipeline_tests.faults.trial import play
from extend_pipeline_tests.faults.upstream import OTHER_PLACES, PROVIDERS, left_out
from extend_pipeline_tests.support.processes.children import CONTEXT

_A_TASK = 20
_TELL_EVERY_S = 30.0

_own: list[Stage] = []


def played_by_name(names: Sequence[str]) -> list[Trial]:
    """Play scenarios on this process's own stage, which is set up at the first call."""
    if not _own:
        _own.append(Stage(ground()))
        Finalize(None, _own[0].close, exitpriority=10)
    known = {scenario.name: scenario for scenario in matrix()}
    return [play(known[name], _own[0]) if name in known else SPECIALS[name](_own[0]) for name in names]


def play_all(names: Sequence[str], jobs: int) -> Iterator[list[Trial]]:
    """Play them in `jobs` processes; trials as they come."""
    if jobs == 1:
        for name in names:
            yield played_by_name([name])
        return
    with ProcessPoolExecutor(jobs, mp_context=CONTEXT, initializer=end_with_parent) as pool:
        parts = [names[start : start + _A_TASK] for start in range(0, len(names), _A_TASK)]
        for done in as_completed([pool.submit(played_by_name, part) for part in parts]):
            yield done.result()


def run(names: Sequence[str], jobs: int, say: Callable[[str], object]) -> list[Trial]:
    """Play them, say what fails at once and how far it has come, and the table at the end."""
    began = told_at = time.monotonic()
    trials: list[Trial] = []
    for done in play_all(names, jobs):
        trials += done
        for trial in done:
            if trial.findings:
                say(told(trial))
        if time.monotonic() - told_at > _TELL_EVERY_S:
            told_at = time.monotonic()
            so_far = sums(trials)
            say(
                f"{len(trials):,} of {len(names):,} scenarios, {so_far.failed} failed, {so_far.kills:,} kills, "
                f"{so_far.charges:,} charges, {so_far.double} double, {so_far.unknown} unknown, "
                f"{told_at - began:,.0f} s"
            )
    say(table(trials))
    say(f"{time.monotonic() - began:,.0f} s with {jobs} processes")
    return trials


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m extend_pipeline_tests.faults.matrix", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--full", action="store_true", help="every failpoint × fault × provider, and the specials")
    which.add_argument("--slice", action="store_true", help="each failpoint and each fault of a provider once")
    which.add_argument("--only", metavar="NAME", action="append", help="one scenario; may be given again")
    which.add_argument("--list", action="store_true", help="the names of all scenarios")
    which.add_argument("--excluded", action="store_true", help="what is not played, why, and what covers it")
    parser.add_argument("--provider", action="append", choices=PROVIDERS, help="of these providers only")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    given = parser.parse_args(arguments)
    providers = given.provider or PROVIDERS
    if given.excluded:
        print(excluded())
        return 0
    chosen = matrix_slice(providers) if given.slice else matrix(providers)
    specials = [name for name in SPECIALS if not given.slice or in_slice(name)]
    names = given.only or [*specials, *(scenario.name for scenario in chosen)]
    if given.list:
        print("\n".join(names))
        return 0
    for name in given.only or ():
        if name not in SPECIALS:
            named(name)
    trials = run(names, 1 if given.only else given.jobs, lambda text: print(text, flush=True))
    return int(any(trial.findings for trial in trials))


def excluded() -> str:
    """What is not played, in one table."""
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
