"""The outcome of an asset check, with texts for the operator."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg

from extend_pipeline.engine.proof import Proved

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


def proof_outcome(proved: Proved, rows: str, todo: str) -> dg.AssetCheckResult:
    """Return the result of a check that proves what changed, or everything once a day. Its metadata says which, how
    many `rows` were compared, and when everything last held."""
    proof = proved.proof
    more = {rows: proof.rows, **extent("everything" if proof.is_whole else "what changed", proved.whole_at_ms)}
    return outcome(proof.findings, todo, more=more)


def extent(compared: str, whole_at_ms: int | None) -> dict[str, Any]:
    """Return metadata: what was compared, and when everything last was (UTC ms)."""
    last = {} if whole_at_ms is None else {"everything_compared_at": dg.MetadataValue.timestamp(whole_at_ms / 1000)}
    return {"compared": compared, **last}
