"""Count what was paid against what a client has recorded. The same function counts the pipeline and the naive client,
so that what it finds in the one it would find in the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from extend_pipeline.base.units import from_micros
from extend_pipeline_tests.support.harness.charges import Charge, ChargeBook, Submission, match_charges


@dataclass(frozen=True)
class Count:
    """What the charge book and the client's records show together.

    `doubles` are charges beyond the first for the same step. `lost` are charges that the client does not account for,
    and `late` those among them whose next try would be refused as a duplicate key. `settled` has, by account, the units
    that the client settled for tasks and those that the book has for the same tasks.
    """

    charges: int
    doubles: int
    lost: tuple[Charge, ...]
    late: tuple[Charge, ...]
    settled: Mapping[str, tuple[Decimal, Decimal]]


def count(book: ChargeBook, submissions: Sequence[Submission]) -> Count:
    """Compare the sandbox's charge book with submits that were recorded after the book was read."""
    matches = match_charges(book.charges, submissions)
    keys = {submission.key for submission in submissions if submission.needs_key}
    sums: dict[str, tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    for submission, charge in matches.known:
        row = submission.attempt
        if row is None or row.settled_micros is None or charge["refunded"]:
            continue
        settled, charged = sums[row.account]
        sums[row.account] = (settled + from_micros(row.settled_micros), charged + Decimal(charge["units"]))
    late = tuple(charge for charge in matches.unmatched if charge["external_task_id"] in keys)
    return Count(
        charges=len(book.charges),
        doubles=sum(double["count"] - 1 for double in book.doubles),
        lost=tuple(charge for charge in matches.unmatched if charge not in late),
        late=late,
        settled=dict(sums),
    )
