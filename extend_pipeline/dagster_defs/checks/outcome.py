"""The outcome of an asset check, with texts for the operator."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

MAX_SHOWN: Final = 10  # findings in the UI; the count is always exact


def outcome(
    findings: Sequence[str],
    todo: str,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
    more: Mapping[str, Any] | None = None,
) -> dg.AssetCheckResult:
    """Return the result of a check, which passes without findings. Its description has the first findings and `todo`,
    what to do about them; `more` is further metadata."""
    count = len(findings)
    rest = [f"… and {count - MAX_SHOWN} more"] if count > MAX_SHOWN else []
    return dg.AssetCheckResult(
        passed=not findings,
        severity=severity,
        description="\n".join([*findings[:MAX_SHOWN], *rest, f"→ {todo}"]) if findings else "no findings",
        metadata={"findings": count, **(more or {})},
    )
