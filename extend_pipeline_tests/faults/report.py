"""What a run of scenarios has shown, as a table by class and as findings that can be run again one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from extend_pipeline_tests.faults.audit import Trial


@dataclass
class Sums:
    """Counts over trials; a row of the table."""

    scenarios: int = 0
    kills: int = 0
    faults: int = 0
    late: int = 0
    charges: int = 0
    double: int = 0
    unknown: int = 0
    adopted: int = 0
    resubmitted: int = 0
    films: int = 0
    failed: int = 0

    def add(self, trial: Trial) -> None:
        """Count one more."""
        self.scenarios += 1
        self.kills += trial.kills
        self.faults += trial.fired
        self.late += trial.late
        self.charges += trial.charges
        self.double += trial.doubles
        self.unknown += trial.unknown
        self.adopted += trial.adopted
        self.resubmitted += trial.resubmitted
        self.films += trial.films
        self.failed += bool(trial.findings)


def sums(trials: Iterable[Trial]) -> Sums:
    """Everything together."""
    whole = Sums()
    for trial in trials:
        whole.add(trial)
    return whole


def table(trials: Sequence[Trial]) -> str:
    """A row a class, and the sum."""
    names = [field.name for field in fields(Sums)]
    lines = ["  ".join(["class".ljust(8), *(name.rjust(11) for name in names)])]
    groups = sorted({trial.group for trial in trials})
    for group, rows in [*((each, [t for t in trials if t.group == each]) for each in groups), ("all", trials)]:
        found = sums(rows)
        lines.append("  ".join([group.ljust(8), *(f"{getattr(found, name):11,}" for name in names)]))
    cpu_s = sum(trial.cpu_s for trial in trials)
    lines.append(f"{cpu_s:,.0f} s of CPU, {cpu_s / max(len(trials), 1):.2f} s a scenario")
    return "\n".join(lines)


def told(trial: Trial) -> str:
    """A failed trial: its name, what was found, and how to run it alone."""
    found = "\n".join(f"    {each}" for each in trial.findings)
    return (
        f"FAILED {trial.name}\n{found}\n    again: python -m extend_pipeline_tests.faults.matrix --only '{trial.name}'"
    )
