"""The outcome of an asset check, with texts for the operator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg

MAX_SHOWN: Final = 10  # findings in the UI; the count is always exact


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """The outcome of a check. It passes without findings. `todo` is what to do about them; `more` is further
    metadata."""

    findings: Sequence[str]
    todo: str
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Return whether there are no findings."""
        return not self.findings

    @property
    def description(self) -> str:
        """Return the first findings and what to do, for the operator."""
        if self.passed:
            return "no findings"
        more = len(self.findings) - MAX_SHOWN
        rest = [f"… and {more} more"] if more > 0 else []
        return "\n".join([*self.findings[:MAX_SHOWN], *rest, f"→ {self.todo}"])

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Return the number of findings, and the check's further metadata."""
        return {"findings": len(self.findings), **self.more}
