"""What counts against today's budget. A claim that a clock dated after today was made today all the same, or on the day
on which the ledger last saw an earlier date: it counts once, and not against every day until its own comes."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Connection, func, select

from extend_pipeline.base.units import from_ms, to_ms, utc_day
from extend_pipeline.ledger import tables


def committed(connection: Connection, now_ms: int, *, account: str | None = None) -> dict[str, int]:
    """Return the micro-units that count against today (UTC), by account; of one account or of all."""
    days = tables.account_days
    today = utc_day(now_ms)
    query = select(days.c.account, days.c.day, days.c.committed_micros).where(days.c.day >= today)
    if account is not None:
        query = query.where(days.c.account == account)
    totals: dict[str, int] = defaultdict(int)
    dated_ahead: set[str] = set()
    for row in connection.execute(query):
        if row.day == today:
            totals[row.account] += row.committed_micros
        else:
            dated_ahead.add(row.account)
    for name in dated_ahead:
        totals[name] += _made_today(connection, name, now_ms)
    return dict(totals)


def _made_today(connection: Connection, account: str, now_ms: int) -> int:
    """What the account committed on days after today, by claims that no event of an earlier day follows."""
    charges, events = tables.charges, tables.events
    midnight_ms = to_ms(from_ms(now_ms).replace(hour=0, minute=0, second=0, microsecond=0))
    # from the end: today's events alone are read
    before = select(events.c.seq).where(events.c.at < midnight_ms).order_by(events.c.seq.desc()).limit(1)
    since = connection.execute(before).scalar() or 0
    ahead = (charges.c.account == account) & (charges.c.budget_day > utc_day(now_ms)) & (charges.c.seq > since)
    claimed = select(charges.c.attempt_id).where(ahead, charges.c.entry == "reserve")
    total = select(func.coalesce(func.sum(charges.c.micros), 0)).where(ahead, charges.c.attempt_id.in_(claimed))
    return int(connection.execute(total).scalar_one())
