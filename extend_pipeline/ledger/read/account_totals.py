"""Read the totals that the spending rules evaluate: for a plan in its snapshot, for a claim in its transaction."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, func, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import budget_days, queries
from extend_pipeline.ledger.read.budget_days import Today
from extend_pipeline.ledger.spending_rules import AccountTotals
from extend_pipeline.ledger.states import AttemptState

S = AttemptState

_TABLE: Final = tables.attempts
_PREDICTED: Final = (
    select(_TABLE.c.account, _TABLE.c.state, func.sum(_TABLE.c.predicted_micros))
    .where(_TABLE.c.state.in_([state.value for state in (S.CLAIMED, S.SENDING, S.IN_DOUBT)]))
    .group_by(_TABLE.c.account, _TABLE.c.state)
)


def account_totals(
    connection: Connection, accounts: Collection[str], now_ms: int, *, zone: str
) -> dict[str, AccountTotals]:
    """Return the totals of accounts by name, with today's in a time zone. Their limits are not in the ledger. The cost
    depends on what is being sent or in doubt, and not on what is finished."""
    rows = queries.accounts(connection)
    backoffs = queries.backoffs(connection)
    contacts = queries.contacts(connection)
    today = budget_days.committed(connection, now_ms, zone=zone, accounts=accounts)
    predicted = {(name, state): int(micros) for name, state, micros in connection.execute(_PREDICTED)}
    everywhere = rows.get(tables.ALL_ACCOUNTS)
    totals = {}
    for name in accounts:
        row, backoff, spent = rows.get(name), backoffs.get(name), today.get(name, Today())
        contact = contacts.get(name)
        totals[name] = AccountTotals(
            everything_paused=bool(everywhere and everywhere.paused),
            paused=bool(row and row.paused),
            stopped_reason=row.stopped_reason if row else None,
            stopped_message=row.stopped_message if row else None,
            committed_micros=row.committed_micros if row else 0,
            committed_today_micros=spent.micros,
            in_flight=row.in_flight if row else 0,
            backing_off_until=backoff.not_before if backoff else None,
            probing=bool(backoff and backoff.failures),
            has_unsent=(name, S.CLAIMED) in predicted or (name, S.SENDING) in predicted,
            silent_submits=row.silent_submits if row else 0,
            replied_at=contact.replied_at if contact else None,
            silent_queries=contact.silences if contact else 0,
            ask_at=contact.ask_at if contact else 0,
            in_doubt_micros=predicted.get((name, S.IN_DOUBT), 0),
            sending_micros=predicted.get((name, S.CLAIMED), 0) + predicted.get((name, S.SENDING), 0),
            zone=zone,
            other_days=spent.other_days,
        )
    return totals
