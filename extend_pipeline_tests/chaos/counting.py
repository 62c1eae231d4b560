"""Counts what was paid against what a client has written down. The same functions count the pipeline and the naive
client: what they find in the one they would find in the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import Row, select

from extend_pipeline.base.units import from_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.states import AttemptState

S = AttemptState

DOUBTFUL: Final = frozenset({S.SENDING, S.IN_DOUBT, S.WRITTEN_OFF})
"""States of an attempt that may be a charge without saying which task it is."""


@dataclass(frozen=True)
class Written:
    """What a client has written down of one submit. `parent` is an id, or Vidu's URL; `settled` is in units."""

    account: str
    parent: str
    key: str | None
    task_id: str | None
    may_be_charged: bool
    settled: Decimal | None = None


@dataclass(frozen=True)
class Count:
    """What the charge book and the client's own writing say together.

    `doubles` are charges beyond the first for the same step, `lost` charges that the client neither knows nor holds for
    possible, `late` those among them that its next try of the same key would be told of. `settled` is, by account, what
    the client settled for tasks and what the book has for the same tasks.
    """

    charges: int
    doubles: int
    lost: tuple[Mapping[str, Any], ...]
    late: tuple[Mapping[str, Any], ...]
    settled: Mapping[str, tuple[Decimal, Decimal]]


def count(book: Mapping[str, Any], written: Sequence[Written]) -> Count:
    """Hold the sandbox's charge book against what was written down after it was read."""
    by_task = {each.task_id: each for each in written if each.task_id is not None}
    doubtful = {each.key for each in written if each.may_be_charged and each.key is not None}
    keys = {each.key for each in written if each.key is not None}
    unclaimed = [each for each in written if each.may_be_charged and each.task_id is None]
    lost: list[Mapping[str, Any]] = []
    late: list[Mapping[str, Any]] = []
    sums: dict[str, tuple[Decimal, Decimal]] = defaultdict(lambda: (Decimal(0), Decimal(0)))
    for charge in book["charges"]:
        known = by_task.get(charge["task_id"])
        if known is not None:
            if known.settled is not None and not charge["refunded"]:
                mine, theirs = sums[known.account]
                sums[known.account] = (mine + known.settled, theirs + Decimal(charge["units"]))
        elif charge["external_task_id"] is not None:
            if charge["external_task_id"] not in doubtful:
                (late if charge["external_task_id"] in keys else lost).append(charge)
        else:
            answers_for = next((each for each in unclaimed if made_from(each, charge)), None)
            if answers_for is None:
                lost.append(charge)
            else:
                unclaimed.remove(answers_for)  # one doubt answers for one charge
    doubles = sum(double["count"] - 1 for double in book["double"])
    return Count(len(book["charges"]), doubles, tuple(lost), tuple(late), dict(sums))


def made_from(written: Written, charge: Mapping[str, Any]) -> bool:
    """Whether a charge is the account's, for extending the same video (Vidu's are named by their URL)."""
    named = written.parent
    same = named == charge["video_id"] or unquote(urlsplit(named).path).endswith(f"/{charge['video_id']}.mp4")
    return same and written.account == charge["account"]


def ledger_writing(ledger: Ledger) -> list[Written]:
    """What the ledger says of every attempt, in one snapshot."""
    with ledger.read() as connection:
        return [written_of(row) for row in connection.execute(select(tables.attempts))]


def written_of(row: Row[Any]) -> Written:
    """One attempt. Its accounts are called as the sandbox's are."""
    return Written(
        account=row.account,
        parent=row.parent_video_id,
        key=row.external_task_id if row.submit_class == "A" else None,
        task_id=row.task_id,
        may_be_charged=AttemptState(row.state) in DOUBTFUL,
        settled=None if row.settled_micros is None else from_micros(row.settled_micros),
    )
