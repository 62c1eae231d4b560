"""What a run of scenarios has shown, as a table by class and as findings that can be run again one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from extend_pipeline_tests.faults.scenarios.checks import ScenarioResult


@dataclass
class Sums:
    """Counts over results; a row of the table."""

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

    def add(self, result: ScenarioResult) -> None:
        """Count one more."""
        self.scenarios += 1
        self.kills += result.kills
        self.faults += result.fired
        self.late += result.late
        self.charges += result.charges
        self.double += result.doubles
        self.unknown += result.unknown
        self.adopted += result.adopted
        self.resubmitted += result.resubmitted
        self.films += result.films
        self.failed += bool(result.findings)


def sums(results: Iterable[ScenarioResult]) -> Sums:
    """Everything together."""
    whole = Sums()
    for result in results:
        whole.add(result)
    return whole


def table(results: Sequence[ScenarioResult]) -> str:
    """A row a class, and the sum."""
    names = [field.name for field in fields(Sums)]
    lines = ["  ".join(["class".ljust(8), *(name.rjust(11) for name in names)])]
    groups = sorted({result.group for result in results})
    parts = [(name, [result for result in results if result.group == name]) for name in groups]
    for group, rows in [*parts, ("all", results)]:
        total = sums(rows)
        lines.append("  ".join([group.ljust(8), *(f"{getattr(total, name):11,}" for name in names)]))
    cpu_s = sum(result.cpu_s for result in results)
    lines.append(f"{cpu_s:,.0f} s of CPU, {cpu_s / max(len(results), 1):.2f} s a scenario")
    return "\n".join(lines)


def failure_text(result: ScenarioResult) -> str:
    """Return a failed scenario's name, its findings, and the command that runs it alone."""
    findings = "\n".join(f"    {finding}" for finding in result.findings)
    command = f"python -m extend_pipeline_tests.faults.matrix --only '{result.name}'"
    return f"FAILED {result.name}\n{findings}\n    again: {command}"
