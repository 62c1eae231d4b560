"""`make mutants`: makes each of the mistakes in a copy of the package and plays scenarios of the matrix there,
until one finds it. Exit code 1 where a mistake is not found, or where they find something in the code as it is."""

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

from extend_pipeline_tests.faults.audit import STUMBLED
from extend_pipeline_tests.faults.mutations import MUTANTS, Mutant, problems
from extend_pipeline_tests.faults.upstream import PROVIDERS

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("extend_pipeline", "extend_pipeline_tests")
_WITHIN_S: Final = 300


@dataclass(frozen=True)
class Verdict:
    """What the scenarios said of one copy. `scenario` is the one that found something, `finding` what it said first."""

    name: str
    scenario: str
    finding: str
    seconds: float
    played: int

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
            found = text_of(mutant, folder)
            if told := problems(mutant, found):
                raise ValueError("; ".join(told))
            for edit in mutant.edits:
                path = folder / edit.file
                path.write_text(path.read_text(encoding="utf-8").replace(edit.old, edit.new), encoding="utf-8")
        yield folder


def judged(name: str, mutant: Mutant | None, scenarios: Sequence[str]) -> Verdict:
    """Play scenarios in a copy, until one finds something."""
    began = time.monotonic()
    with copy(mutant) as folder:
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-m", "extend_pipeline_tests.faults.mutants", "--inside", *scenarios]
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
        if ended.returncode != 0:
            raise RuntimeError(f"{name}: the scenarios could not be played: {ended.stderr[-2000:]}")
        told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
        for package in told["packages"]:
            if not Path(package).is_relative_to(folder):
                raise RuntimeError(f"{name}: {package} was played, not the copy in {folder}")
    return Verdict(name, told["scenario"], told["finding"], time.monotonic() - began, told["played"])


def judge(mutant: Mutant) -> Verdict:
    """Whether a mistake is found. Raises ValueError where it can't be made of the code as it stands."""
    return judged(mutant.name, mutant, mutant.scenarios)


def providers_named(scenarios: Sequence[str]) -> set[str]:
    """The providers that the scenarios name; none where one of them doesn't say whose it is."""
    named = [{*scenario.split("/")} & {*PROVIDERS} for scenario in scenarios]
    return set().union(*named) if all(named) else set()


def inside(scenarios: Sequence[str]) -> dict[str, Any]:
    """In the copy: play them until one finds something."""
    import extend_pipeline
    import extend_pipeline_tests
    from extend_pipeline_tests.faults.matrix import played_by_name
    from extend_pipeline_tests.faults.stage import play_only

    if named := providers_named(scenarios):
        play_only(named)
    told: dict[str, Any] = {"packages": [extend_pipeline.__file__, extend_pipeline_tests.__file__]}
    for number, scenario in enumerate(scenarios, start=1):
        (trial,) = played_by_name([scenario])
        found = [finding for finding in trial.findings if not finding.startswith(STUMBLED)]
        if found:
            return {**told, "scenario": scenario, "finding": found[0], "played": number}
        if trial.findings:
            raise RuntimeError(f"{scenario}: {trial.findings[0]}")
    return {**told, "scenario": "", "finding": "", "played": len(scenarios)}


def table(verdicts: Sequence[Verdict]) -> str:
    """One line a mutant."""
    lines = [f"{'mutant':32}{'caught by':52}{'seconds':>8}  what it said"]
    for each in verdicts:
        said = " ".join(each.finding.split())[:150] if each.caught else "SURVIVED"
        lines.append(f"{each.name:32}{each.scenario or '-':52}{each.seconds:8.1f}  {said}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m extend_pipeline_tests.faults.mutants", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", choices=[mutant.name for mutant in MUTANTS])
    parser.add_argument("--jobs", type=int, default=2, help="copies at a time")
    parser.add_argument("--inside", nargs="+", metavar="SCENARIO", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.inside:
        print(json.dumps(inside(given.inside)))
        return 0
    chosen = [mutant for mutant in MUTANTS if given.only is None or mutant.name in given.only]
    if rotten := [told for mutant in chosen for told in problems(mutant, text_of(mutant))]:
        print("\n".join(rotten))
        return 1
    began = time.monotonic()
    every = list(dict.fromkeys(scenario for mutant in chosen for scenario in mutant.scenarios))
    with ThreadPoolExecutor(given.jobs) as pool:
        sound = pool.submit(judged, "none: the code as it is", None, every)
        verdicts = list(pool.map(judge, chosen))
    print(table(verdicts))
    caught = sum(each.caught for each in verdicts)
    whole = sound.result()
    print(f"{caught} of {len(verdicts)} caught; the code as it is passes {whole.played} scenarios: {not whole.caught}")
    if whole.caught:
        print(f"{whole.scenario}: {whole.finding}")
    print(f"{time.monotonic() - began:.0f} s")
    return int(caught < len(verdicts) or whole.caught)


if __name__ == "__main__":
    sys.exit(main())
