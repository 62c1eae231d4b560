"""The units that count against today's budget, in the home's time zone.

A claim stores its day with the day's zone (`base/days.py`). If a home changes its zone, days of the old zone overlap
today, and each of them counts against today with everything committed on it. So a change of zone opens no second
budget: the claims on overlapping days never exceed one day's budget by claims made after the change.

A claim that a wrong clock dated after today was made today, or on the day of the last earlier date in the ledger. It
counts once, and not against every day until its own date comes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, func, select

from extend_pipeline.base.days import day_bounds, day_of, days_before, zone_of
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.queries import among, rows_by

_REACH: Final = 3  # days before today's date that a day of any other zone may have and still overlap today


@dataclass(frozen=True, slots=True)
class Today:
    """The micro-units that count against today. `other_days` are days of the home's earlier zone that partly count
    too."""

    micros: int = 0
    other_days: tuple[str, ...] = ()


_DAYS: Final = tables.account_days.c
_SINCE: Final = (
    select(_DAYS.account, _DAYS.day, _DAYS.committed_micros).where(_DAYS.day >= bindparam("first")).order_by(_DAYS.day)
)
_OF_ACCOUNTS: Final = _SINCE.where(among(_DAYS.account))


def committed(
    connection: Connection, now_ms: int, *, zone: str, accounts: Collection[str] | None = None
) -> dict[str, Today]:
    """Return the units that count against today in a time zone, by account; of the named accounts or of all."""
    today = day_of(now_ms, zone)
    begins_ms, ends_ms = day_bounds(today)
    first = days_before(now_ms, zone, _REACH)
    if accounts is None:
        rows: Iterable[Row[Any]] = connection.execute(_SINCE, {"first": first})
    else:
        rows = rows_by(connection, _OF_ACCOUNTS, accounts, first=first)
    totals: dict[str, int] = defaultdict(int)
    other: dict[str, list[str]] = defaultdict(list)
    dated_ahead: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        first_ms, end_ms = day_bounds(row.day)
        if first_ms >= ends_ms:
            dated_ahead[row.account].append(row.day)
        elif end_ms > begins_ms:
            totals[row.account] += row.committed_micros
            if row.committed_micros and zone_of(row.day) != zone:
                other[row.account].append(row.day)
    for name, ahead in dated_ahead.items():
        totals[name] += _made_today(connection, name, ahead, begins_ms)
    return {name: Today(micros, tuple(other.get(name, ()))) for name, micros in totals.items()}


def _made_today(connection: Connection, account: str, ahead: Collection[str], midnight_ms: int) -> int:
    """Return the micro-units that the account committed on days after today, by claims that no event of an earlier day
    follows."""
    charges, events = tables.charges, tables.events
    # from the end, so that only today's events are read
    before = select(events.c.seq).where(events.c.at < midnight_ms).order_by(events.c.seq.desc()).limit(1)
    since = connection.execute(before).scalar() or 0
    late = (charges.c.account == account) & charges.c.budget_day.in_(ahead) & (charges.c.seq > since)
    claimed = select(charges.c.attempt_id).where(late, charges.c.entry == "reserve")
    total = select(func.coalesce(func.sum(charges.c.micros), 0)).where(late, charges.c.attempt_id.in_(claimed))
    return int(connection.execute(total).scalar_one())
