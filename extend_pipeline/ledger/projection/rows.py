"""Changes of rows that several projections make: an attempt's state, an account's totals, a charge."""

from typing import Any

from sqlalchemy import Connection, insert, select, update

from extend_pipeline.base.units import amount_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.event import Event
from extend_pipeline.ledger.states import SLOT_HOLDING, AttemptState


def change_account(
    connection: Connection,
    event: Event,
    account: str | None,
    *,
    in_flight: int = 0,
    micros: int = 0,
    **values: Any,
) -> None:
    """Add to an account's totals and set other columns; insert the account if it has no row."""
    table = tables.accounts
    row = connection.execute(select(table).where(table.c.account == account)).first()
    if row is None:
        empty: dict[str, Any] = {
            "paused": False,
            "stopped_reason": None,
            "stopped_message": None,
            "stopped_at": None,
            "refused_keys": None,
        }
        connection.execute(
            insert(table).values(
                account=account,
                committed_micros=micros,
                in_flight=in_flight,
                seq=event.seq,
                **{**empty, **values},
            )
        )
        return
    connection.execute(
        update(table)
        .where(table.c.account == account)
        .values(
            committed_micros=row.committed_micros + micros,
            in_flight=row.in_flight + in_flight,
            seq=event.seq,
            **values,
        )
    )


def attempt_of(connection: Connection, event: Event) -> Any:
    """Return the event's attempt."""
    return connection.execute(select(tables.attempts).where(tables.attempts.c.attempt_id == event.attempt_id)).one()


def set_attempt(connection: Connection, event: Event, **values: Any) -> None:
    """Set columns of the event's attempt."""
    connection.execute(
        update(tables.attempts).where(tables.attempts.c.attempt_id == event.attempt_id).values(seq=event.seq, **values)
    )


def set_state(connection: Connection, event: Event, state: AttemptState, **values: Any) -> None:
    """Set the state of the event's attempt; one that leaves its slot is in flight no longer."""
    before = attempt_of(connection, event)
    set_attempt(connection, event, state=state.value, **values)
    if AttemptState(before.state) in SLOT_HOLDING and state not in SLOT_HOLDING:
        change_account(connection, event, before.account, in_flight=-1)


def release_reservation(connection: Connection, event: Event) -> None:
    """Release the units that the event's attempt reserved."""
    attempt = attempt_of(connection, event)
    charge(connection, event, attempt, entry="release", micros=-attempt.predicted_micros, basis="predicted")


def charge(connection: Connection, event: Event, attempt: Any, *, entry: str, micros: int, basis: str) -> None:
    """Append a charge (micro-units, signed) and add it to the totals of its account and budget day."""
    connection.execute(
        insert(tables.charges).values(
            charge_id=f"{event.seq}-{entry}",
            attempt_id=attempt.attempt_id,
            video_key=attempt.video_key,
            account=attempt.account,
            provider=attempt.provider,
            entry=entry,
            unit=attempt.unit,
            micros=micros,
            basis=basis,
            currency=attempt.currency,
            amount_micros=amount_micros(units_micros=micros, unit_price_micros=attempt.unit_price_micros),
            budget_day=attempt.budget_day,
            at=event.at,
            seq=event.seq,
        )
    )
    change_account(connection, event, attempt.account, micros=micros)
    days = tables.account_days
    same_day = (days.c.account == attempt.account) & (days.c.day == attempt.budget_day)
    row = connection.execute(select(days.c.committed_micros).where(same_day)).first()
    if row is None:
        connection.execute(
            insert(days).values(account=attempt.account, day=attempt.budget_day, committed_micros=micros)
        )
    else:
        connection.execute(update(days).where(same_day).values(committed_micros=row.committed_micros + micros))
