"""The effect of attempts' events on the state tables and the charges."""

import json
from collections.abc import Callable
from typing import Final

from extend_pipeline.config.checks.purchase import purchase_digest, words_digest
from extend_pipeline.ledger.projection.event import Event
from extend_pipeline.ledger.projection.rows import (
    attempt_of,
    charge,
    release_reservation,
    set_attempt,
    set_state,
)
from extend_pipeline.ledger.projection.state_rows import StateRows
from extend_pipeline.ledger.states import AttemptState

S = AttemptState


def _attempt_claimed(rows: StateRows, event: Event) -> None:
    data = event.data
    params = json.loads(data["params"])
    # computed here and not stored in the event, so that an older ledger gets them by its migration and by a replay
    words = words_digest(params)
    purchase = purchase_digest(data["provider"], data["parent_video_id"], params)
    _begin(rows, event, state=S.CLAIMED, words=words, purchase=purchase)


def _attempt_adopted(rows: StateRows, event: Event) -> None:
    _begin(rows, event, state=S.SUBMITTED, submitted_at=event.at)


def _begin(rows: StateRows, event: Event, *, state: AttemptState, **values: object) -> None:
    """Insert a new attempt with its reservation, and count it in flight."""
    attempt = rows.insert_attempt(
        {
            **event.data,
            "attempt_id": event.attempt_id,
            "video_key": event.video_key,
            "account": event.account,
            "state": state.value,
            "claimed_at": event.at,
            "absences": 0,
            "resubmit_allowed": False,
            "seq": event.seq,
            **values,
        }
    )
    rows.add_to_account(attempt.account, seq=event.seq, in_flight=1)
    charge(rows, event, attempt, entry="reserve", micros=attempt.predicted_micros, basis="predicted")


def _attempt_sending(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.SENDING, sending_at=event.at, **event.data)


def _attempt_submitted(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.SUBMITTED, submitted_at=event.at, task_id=event.data["task_id"], lease_until=0)


def _attempt_in_doubt(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.IN_DOUBT, in_doubt_at=event.at, lease_until=0, **event.data)


def _attempt_absent(rows: StateRows, event: Event) -> None:
    absences = event.data.get("absences") or attempt_of(rows, event).absences + 1
    set_attempt(rows, event, absences=absences, last_absent_at=event.at)


def _attempt_rejected(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.REJECTED, finished_at=event.at, lease_until=0, **event.data)
    release_reservation(rows, event)


def _attempt_released(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.RELEASED, finished_at=event.at, lease_until=0, **event.data)
    release_reservation(rows, event)


def _attempt_processing(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.PROCESSING)


def _attempt_succeeded(rows: StateRows, event: Event) -> None:
    data = dict(event.data)
    reported = data.pop("reported_micros", None)
    attempt = attempt_of(rows, event)
    micros, basis = (attempt.predicted_micros, "estimated") if reported is None else (reported, "reported")
    set_state(
        rows,
        event,
        S.SUCCEEDED,
        completed_at=event.at,
        settled_micros=micros,
        units_basis=basis,
        **data,
    )
    release_reservation(rows, event)
    charge(rows, event, attempt, entry="settle", micros=micros, basis=basis)


def _attempt_failed(rows: StateRows, event: Event) -> None:
    data = dict(event.data)
    reported = data.pop("reported_micros", None)
    attempt = attempt_of(rows, event)
    charged = attempt.failed_tasks_charged
    if charged == "unknown" and reported is None:
        set_state(rows, event, S.FAILED, finished_at=event.at, **data)  # the reservation stays until a reconciliation
        return
    if reported is not None:
        micros, basis = reported, "reported"
    else:
        micros, basis = (attempt.predicted_micros if charged == "yes" else 0), "estimated"
    set_state(rows, event, S.FAILED, finished_at=event.at, settled_micros=micros, units_basis=basis, **data)
    release_reservation(rows, event)
    if micros:
        charge(rows, event, attempt, entry="settle", micros=micros, basis=basis)


def _attempt_columns(rows: StateRows, event: Event) -> None:
    set_attempt(rows, event, **event.data)


def _attempt_stored(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.STORED, stored_at=event.at, finished_at=event.at, **event.data)


def _attempt_quarantined(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.QUARANTINED, finished_at=event.at, **event.data)


def _attempt_result_lost(rows: StateRows, event: Event) -> None:
    set_state(rows, event, S.RESULT_LOST, finished_at=event.at, **event.data)


def _attempt_written_off(rows: StateRows, event: Event) -> None:
    attempt = attempt_of(rows, event)
    if attempt.settled_micros is not None:  # it had succeeded, so the charge is booked
        set_state(rows, event, S.WRITTEN_OFF, finished_at=event.at, **event.data)
        return
    micros = attempt.predicted_micros
    set_state(
        rows,
        event,
        S.WRITTEN_OFF,
        finished_at=event.at,
        settled_micros=micros,
        units_basis="estimated",
        **event.data,
    )
    release_reservation(rows, event)
    charge(rows, event, attempt, entry="settle", micros=micros, basis="estimated")


def _charge_settled(rows: StateRows, event: Event) -> None:
    micros, basis = event.data["micros"], event.data["basis"]
    set_attempt(rows, event, settled_micros=micros, units_basis=basis)
    release_reservation(rows, event)
    if micros:
        charge(rows, event, attempt_of(rows, event), entry="settle", micros=micros, basis=basis)


def _charge_adjusted(rows: StateRows, event: Event) -> None:
    set_attempt(rows, event)  # so that its row is published again with the new sum
    attempt = attempt_of(rows, event)
    charge(rows, event, attempt, entry="adjust", micros=event.data["micros"], basis=event.data["basis"])


def _resubmit_allowed(rows: StateRows, event: Event) -> None:
    set_attempt(rows, event, resubmit_allowed=True)


def _no_state_change(_rows: StateRows, _event: Event) -> None:
    """Change no row: the event is evidence (a late response, a provider that went back in state)."""


ATTEMPT_PROJECTIONS: Final[dict[str, Callable[[StateRows, Event], None]]] = {
    "attempt_claimed": _attempt_claimed,
    "attempt_adopted": _attempt_adopted,
    "attempt_sending": _attempt_sending,
    "attempt_submitted": _attempt_submitted,
    "attempt_in_doubt": _attempt_in_doubt,
    "attempt_absent": _attempt_absent,
    "attempt_rejected": _attempt_rejected,
    "attempt_released": _attempt_released,
    "attempt_processing": _attempt_processing,
    "attempt_succeeded": _attempt_succeeded,
    "attempt_failed": _attempt_failed,
    "attempt_url_refreshed": _attempt_columns,
    "attempt_redated": _attempt_columns,
    "attempt_examined": _attempt_columns,
    "attempt_file_replaced": _attempt_columns,
    "attempt_stored": _attempt_stored,
    "attempt_quarantined": _attempt_quarantined,
    "attempt_result_lost": _attempt_result_lost,
    "attempt_written_off": _attempt_written_off,
    "charge_settled": _charge_settled,
    "charge_adjusted": _charge_adjusted,
    "resubmit_allowed": _resubmit_allowed,
    "late_answer": _no_state_change,
    "upstream_went_back": _no_state_change,
}
