"""What an asset check found, in words for the person who reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import dagster as dg

from extend_pipeline.base.days import in_zone

MAX_SHOWN: Final = 10  # findings in the UI; the count is always exact


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What a check found: nothing is a pass. `todo` says what to do about it; `more` is metadata of its own."""

    findings: Sequence[str]
    todo: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def description(self) -> str:
        """For the person who reads it."""
        if self.passed:
            return "all well"
        more = len(self.findings) - MAX_SHOWN
        rest = [f"… and {more} more"] if more > 0 else []
        return "\n".join([*self.findings[:MAX_SHOWN], *rest, f"→ {self.todo}"])

    @property
    def metadata(self) -> Mapping[str, Any]:
        """How many there are, and what else is worth a look."""
        return {"findings": len(self.findings), **self.more}


def shown_in(timezone: str, verdict: CheckOutcome) -> CheckOutcome:
    """Return a verdict whose times are those of a time zone (an IANA name)."""
    return replace(verdict, findings=[in_zone(finding, timezone) for finding in verdict.findings])
