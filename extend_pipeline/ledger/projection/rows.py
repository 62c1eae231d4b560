"""Changes of rows that several projections make: an attempt's state, an account's totals, a charge."""

from typing import Any

from extend_pipeline.base.units import amount_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.event import Event
from extend_pipeline.ledger.projection.state_rows import StateRows
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import SLOT_HOLDING, AttemptState


def change_account(rows: StateRows, event: Event, **values: Any) -> None:
    """Set columns of the event's account; insert the account if it has no row."""
    account = str(event.account)
    rows.add_to_account(account, seq=event.seq)
    rows.change(tables.accounts, account, values)


def attempt_of(rows: StateRows, event: Event) -> AttemptRow:
    """Return the event's attempt. Raises LookupError if there is none."""
    attempt = rows.attempt(str(event.attempt_id))
    if attempt is None:
        raise LookupError(f"there is no attempt {event.attempt_id}")
    return attempt


def set_attempt(rows: StateRows, event: Event, **values: Any) -> None:
    """Set columns of the event's attempt."""
    rows.change_attempt(str(event.attempt_id), {"seq": event.seq, **values})


def set_state(rows: StateRows, event: Event, state: AttemptState, **values: Any) -> None:
    """Set the state of the event's attempt; one that leaves its slot is in flight no longer."""
    before = attempt_of(rows, event)
    set_attempt(rows, event, state=state.value, **values)
    if before.state in SLOT_HOLDING and state not in SLOT_HOLDING:
        rows.add_to_account(before.account, seq=event.seq, in_flight=-1)


def release_reservation(rows: StateRows, event: Event) -> None:
    """Release the units that the event's attempt reserved."""
    attempt = attempt_of(rows, event)
    charge(rows, event, attempt, entry="release", micros=-attempt.predicted_micros, basis="predicted")


def charge(rows: StateRows, event: Event, attempt: AttemptRow, *, entry: str, micros: int, basis: str) -> None:
    """Append a charge (micro-units, signed) and add it to the totals of its account and budget day."""
    rows.insert(
        tables.charges,
        {
            "charge_id": f"{event.seq}-{entry}",
            "attempt_id": attempt.attempt_id,
            "video_key": attempt.video_key,
            "account": attempt.account,
            "provider": attempt.provider,
            "entry": entry,
            "unit": attempt.unit,
            "micros": micros,
            "basis": basis,
            "currency": attempt.currency,
            "amount_micros": amount_micros(units_micros=micros, unit_price_micros=attempt.unit_price_micros),
            "budget_day": attempt.budget_day,
            "at": event.at,
            "seq": event.seq,
        },
    )
    rows.add_to_account(attempt.account, seq=event.seq, micros=micros)
    rows.add_to_day(attempt.account, attempt.budget_day, micros)
