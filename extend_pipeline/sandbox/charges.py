"""The charge book as a test reads it: every line, the sum, and what was paid for more than once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from extend_pipeline.sandbox.records import Charge, units_text


def is_refunded(charge: Charge, now_ms: int) -> bool:
    """A refund is booked when the failed task ends, not before."""
    return charge.refunded_ms is not None and charge.refunded_ms <= now_ms


def charge_summary(charges: Sequence[Charge], now_ms: int) -> dict[str, object]:
    """Lines with times in ms, units as text; `total_units` leaves refunded lines out, as do the counts.

    `double` lists each parent video that one account paid to extend more than once with the same parameters.
    A branch with another prompt is no double; the same prompt sent under two `external_task_id`s is one.
    """
    kept = [charge for charge in charges if not is_refunded(charge, now_ms)]
    same: dict[tuple[str, str, str], list[Charge]] = defaultdict(list)
    for charge in kept:
        same[charge.account, charge.video_id, charge.fingerprint].append(charge)
    return {
        "charges": [
            {
                "task_id": charge.task_id,
                "external_task_id": charge.external_task_id,
                "account": charge.account,
                "video_id": charge.video_id,
                "units": units_text(charge.units_milli),
                "at": charge.at_ms,
                "refunded": is_refunded(charge, now_ms),
            }
            for charge in charges
        ],
        "total_units": units_text(sum(charge.units_milli for charge in kept)),
        "by_external_task_id": dict(Counter(c.external_task_id for c in kept if c.external_task_id is not None)),
        "double": [
            {
                "account": account,
                "video_id": video_id,
                "task_ids": [charge.task_id for charge in group],
                "external_task_ids": [charge.external_task_id for charge in group],
                "count": len(group),
            }
            for (account, video_id, _), group in same.items()
            if len(group) > 1
        ],
    }
