"""`make mutants`: makes each of the mistakes in a copy of the package and runs scenarios of the matrix there,
until one finds it. Exit code 1 where a mistake is not found, or where the scenarios find something in the code as it
is."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extend_pipeline_tests.faults.mutants.mutations import MUTANTS, Mutant, problems
from extend_pipeline_tests.faults.scenarios.checks import STUMBLED
from extend_pipeline_tests.faults.upstream import PROVIDERS

ROOT: Final = Path(__file__).parents[3]
PACKAGES: Final = ("extend_pipeline", "extend_pipeline_tests")
_WITHIN_S: Final = 300


@dataclass(frozen=True)
class MutantResult:
    """What the scenarios said of one copy. `scenario` is the one that found something, `finding` what it said first."""

    name: str
    scenario: str
    finding: str
    seconds: float
    scenarios_run: int

    @property
    def caught(self) -> bool:
        """Whether something was found."""
        return bool(self.finding)


def text_of(mutant: Mutant, root: Path = ROOT) -> dict[str, str]:
    """The text of every file that a mutant changes."""
    return {edit.file: (root / edit.file).read_text(encoding="utf-8") for edit in mutant.edits}


@contextmanager
def copy(mutant: Mutant | None = None) -> Iterator[Path]:
    """A folder with both packages, with the mistake made in it. Raises ValueError where the code has moved on."""
    with tempfile.TemporaryDirectory(prefix="ep-mutant-") as name:
        folder = Path(name)
        for package in PACKAGES:
            shutil.copytree(ROOT / package, folder / package)  # with what is compiled: it goes by the files' times
        if mutant is not None:
            texts = text_of(mutant, folder)
            if issues := problems(mutant, texts):
                raise ValueError("; ".join(issues))
            for edit in mutant.edits:
                path = folder / edit.file
                path.write_text(path.read_text(encoding="utf-8").replace(edit.old, edit.new), encoding="utf-8")
        yield folder


def run_in_copy(name: str, mutant: Mutant | None, scenarios: Sequence[str]) -> MutantResult:
    """Run scenarios in a copy, until one finds something."""
    began = time.monotonic()
    with copy(mutant) as folder:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-m", "extend_pipeline_tests.faults.mutants", "--inside", *scenarios]
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
        if ended.returncode != 0:
            raise RuntimeError(f"{name}: the scenarios could not be run: {ended.stderr[-2000:]}")
        report: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        for package in report["packages"]:
            if not Path(package).is_relative_to(folder):
                raise RuntimeError(f"{name}: {package} was run, not the copy in {folder}")
    return MutantResult(name, report["scenario"], report["finding"], time.monotonic() - began, report["played"])


def run_mutant(mutant: Mutant) -> MutantResult:
    """Whether a mistake is found. Raises ValueError where it can't be made of the code as it stands."""
    return run_in_copy(mutant.name, mutant, mutant.scenarios)


def providers_named(scenarios: Sequence[str]) -> set[str]:
    """The providers that the scenarios name; none where one of them doesn't say whose it is."""
    named = [{*scenario.split("/")} & {*PROVIDERS} for scenario in scenarios]
    return set().union(*named) if all(named) else set()


def inside(scenarios: Sequence[str]) -> dict[str, Any]:
    """In the copy: run the scenarios until one finds something."""
    import extend_pipeline
    import extend_pipeline_tests
    from extend_pipeline_tests.faults.homes.factory import warm_up_only
    from extend_pipeline_tests.faults.matrix import run_by_name

    if named := providers_named(scenarios):
        warm_up_only(named)
    report: dict[str, Any] = {"packages": [extend_pipeline.__file__, extend_pipeline_tests.__file__]}
    for number, scenario in enumerate(scenarios, start=1):
        (result,) = run_by_name([scenario])
        findings = [finding for finding in result.findings if not finding.startswith(STUMBLED)]
        if findings:
            return {**report, "scenario": scenario, "finding": findings[0], "played": number}
        if result.findings:
            raise RuntimeError(f"{scenario}: {result.findings[0]}")
    return {**report, "scenario": "", "finding": "", "played": len(scenarios)}


def table(results: Sequence[MutantResult]) -> str:
    """One line a mutant."""
    lines = [f"{'mutant':32}{'caught by':52}{'seconds':>8}  what it said"]
    for result in results:
        finding = " ".join(result.finding.split())[:150] if result.caught else "SURVIVED"
        lines.append(f"{result.name:32}{result.scenario or '-':52}{result.seconds:8.1f}  {finding}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the mutants; return 1 where a mistake is not found, or where the unchanged code has a finding."""
    parser = argparse.ArgumentParser(prog="python -m extend_pipeline_tests.faults.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", choices=[mutant.name for mutant in MUTANTS])
    parser.add_argument("--jobs", type=int, default=2, help="copies at a time")
    parser.add_argument("--inside", nargs="+", metavar="SCENARIO", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        print(json.dumps(inside(options.inside)))
        return 0
    chosen = [mutant for mutant in MUTANTS if options.only is None or mutant.name in options.only]
    if outdated := [issue for mutant in chosen for issue in problems(mutant, text_of(mutant))]:
        print("\n".join(outdated))
        return 1
    began = time.monotonic()
    every = list(dict.fromkeys(scenario for mutant in chosen for scenario in mutant.scenarios))
    with ThreadPoolExecutor(options.jobs) as pool:
        unchanged = pool.submit(run_in_copy, "none: the code as it is", None, every)
        results = list(pool.map(run_mutant, chosen))
    print(table(results))
    caught = sum(result.caught for result in results)
    whole = unchanged.result()
    passes = f"the code as it is passes {whole.scenarios_run} scenarios: {not whole.caught}"
    print(f"{caught} of {len(results)} caught; {passes}")
    if whole.caught:
        print(f"{whole.scenario}: {whole.finding}")
    print(f"{time.monotonic() - began:.0f} s")
    return int(caught < len(results) or whole.caught)
