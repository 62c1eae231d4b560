"""The charge book as a test reads it: every line, the sums, and what was paid for more than once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from extend_pipeline.sandbox.store.database import Store
from extend_pipeline.sandbox.store.records import Charge, units_text
from extend_pipeline.sandbox.surface.account_terms import Terms


@dataclass(frozen=True)
class Holder:
    """Whose account it is, and the unit that it is charged in."""

    provider: str
    unit: str


def holders(terms: Mapping[str, Terms], store: Store) -> dict[str, Holder]:
    """Return every account that the sandbox has now or that once had a task, by name."""
    surfaces = {name: surface for surface, own in terms.items() for name in own.accounts} | store.surfaces()
    return {name: Holder(surface, terms[surface].unit) for name, surface in surfaces.items()}


def is_refunded(charge: Charge, now_ms: int) -> bool:
    """Return a refund is booked when the failed task ends, not before."""
    return charge.refunded_ms is not None and charge.refunded_ms <= now_ms


def charge_summary(
    charges: Sequence[Charge], accounts: Mapping[str, Holder], now_ms: int, *, total_of: str
) -> dict[str, object]:
    """Return lines with times in ms, units as text; the sums leave refunded lines out, as do the counts.

    Units of different kinds are never added up: `total_units` are the first surface's, `by_account` has each account's.
    `double` lists each parent video that one account paid to extend more than once with the same parameters.
    A branch with another prompt is no double; the same prompt sent under two `external_task_id`s is one. So are two
    branches of one video with equal parameters, which no provider could tell from a step paid for twice.
    """
    kept = [charge for charge in charges if not is_refunded(charge, now_ms)]
    doubles = _doubles(kept)
    return {
        "charges": [
            {
                "task_id": charge.task_id,
                "external_task_id": charge.external_task_id,
                "account": charge.account,
                "provider": accounts[charge.account].provider,
                "video_id": charge.video_id,
                "units": units_text(charge.units_milli),
                "unit": accounts[charge.account].unit,
                "at": charge.at_ms,
                "refunded": is_refunded(charge, now_ms),
            }
            for charge in charges
        ],
        "total_units": _sum(charge for charge in kept if accounts[charge.account].provider == total_of),
        "by_account": {
            name: {
                "provider": holder.provider,
                "unit": holder.unit,
                "units": _sum(charge for charge in kept if charge.account == name),
                "charges": sum(charge.account == name for charge in kept),
                "refunded": sum(charge.account == name for charge in charges if is_refunded(charge, now_ms)),
                "double": sum(double["account"] == name for double in doubles),
            }
            for name, holder in accounts.items()
        },
        "by_external_task_id": dict(Counter(c.external_task_id for c in kept if c.external_task_id is not None)),
        "double": doubles,
    }


def _doubles(kept: Sequence[Charge]) -> list[dict[str, object]]:
    same: dict[tuple[str, str, str], list[Charge]] = defaultdict(list)
    for charge in kept:
        same[charge.account, charge.video_id, charge.fingerprint].append(charge)
    return [
        {
            "account": account,
            "video_id": video_id,
            "task_ids": [charge.task_id for charge in group],
            "external_task_ids": [charge.external_task_id for charge in group],
            "count": len(group),
        }
        for (account, video_id, _), group in same.items()
        if len(group) > 1
    ]


def _sum(charges: Iterable[Charge]) -> str:
    return units_text(sum(charge.units_milli for charge in charges))
