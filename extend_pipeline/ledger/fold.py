"""What each kind of event does to the state tables. The live path and a replay run the same functions.

A fold never decides: checks and compare-and-set are done before an event is appended (`transitions`, `claims`,
`controls`). It reads nothing but the row it changes and the event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from extend_pipeline.base.units import amount_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import SLOT_HOLDING, AttemptState, VideoState

if TYPE_CHECKING:
    from extend_pipeline.ledger.events import Event

S = AttemptState


def fold(connection: Connection, event: Event) -> None:
    """Apply one event. Raises KeyError for a kind that this version doesn't know: a ledger written by a newer one."""
    FOLDS[event.kind](connection, event)


# --- videos ------------------------------------------------------------------------------------------------------


def _video_declared(connection: Connection, event: Event) -> None:
    values = {
        **event.data,
        "video_key": event.video_key,
        "account": event.account,
        "state": VideoState.NEW.value,
        "state_reason": "",
        "state_detail": "",
        "hops_done": 0,
        "current_duration_ms": None,
        "declared_at": event.at,
        "seq": event.seq,
    }
    insert_or = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    statement = insert_or(tables.videos).values(**values)
    changes = {name: value for name, value in values.items() if name != "video_key"}
    connection.execute(statement.on_conflict_do_update(index_elements=["video_key"], set_=changes))


def _video_withdrawn(connection: Connection, event: Event) -> None:
    _set_video(connection, event, state=VideoState.WITHDRAWN.value, state_reason="withdrawn", state_detail="")


def _source_stored(connection: Connection, event: Event) -> None:
    values = {"source_sha256": event.data["sha256"], "source_path": event.data["path"]}
    _set_video(connection, event, **values)


def _video_progressed(connection: Connection, event: Event) -> None:
    _set_video(connection, event, **event.data)


def _set_video(connection: Connection, event: Event, **values: Any) -> None:
    connection.execute(
        update(tables.videos).where(tables.videos.c.video_key == event.video_key).values(seq=event.seq, **values)
    )


# --- attempts ----------------------------------------------------------------------------------------------------


def _attempt_claimed(connection: Connection, event: Event) -> None:
    connection.execute(
        insert(tables.attempts).values(
            **event.data,
            attempt_id=event.attempt_id,
            video_key=event.video_key,
            account=event.account,
            state=S.CLAIMED.value,
            claimed_at=event.at,
            absences=0,
            resubmit_allowed=False,
            seq=event.seq,
        )
    )
    _account(connection, event, event.account, in_flight=1)
    attempt = _attempt(connection, event)
    _charge(connection, event, attempt, entry="reserve", micros=attempt.predicted_micros, basis="predicted")


def _attempt_sending(connection: Connection, event: Event) -> None:
    _move(connection, event, S.SENDING, sending_at=event.at, **event.data)


def _attempt_submitted(connection: Connection, event: Event) -> None:
    _move(connection, event, S.SUBMITTED, submitted_at=event.at, task_id=event.data["task_id"], lease_until=0)


def _attempt_in_doubt(connection: Connection, event: Event) -> None:
    _move(connection, event, S.IN_DOUBT, in_doubt_at=event.at, lease_until=0, **event.data)


def _attempt_absent(connection: Connection, event: Event) -> None:
    attempt = _attempt(connection, event)
    _set_attempt(connection, event, absences=attempt.absences + 1, last_absent_at=event.at)


def _attempt_rejected(connection: Connection, event: Event) -> None:
    _move(connection, event, S.REJECTED, finished_at=event.at, lease_until=0, **event.data)
    _give_back(connection, event)


def _attempt_released(connection: Connection, event: Event) -> None:
    _move(connection, event, S.RELEASED, finished_at=event.at, lease_until=0, **event.data)
    _give_back(connection, event)


def _attempt_processing(connection: Connection, event: Event) -> None:
    _move(connection, event, S.PROCESSING)


def _attempt_succeeded(connection: Connection, event: Event) -> None:
    data = dict(event.data)
    reported = data.pop("reported_micros", None)
    attempt = _attempt(connection, event)
    micros, basis = (attempt.predicted_micros, "estimated") if reported is None else (reported, "reported")
    _move(
        connection,
        event,
        S.SUCCEEDED,
        completed_at=event.at,
        settled_micros=micros,
        units_basis=basis,
        **data,
    )
    _give_back(connection, event)
    _charge(connection, event, attempt, entry="settle", micros=micros, basis=basis)


def _attempt_failed(connection: Connection, event: Event) -> None:
    data = dict(event.data)
    reported = data.pop("reported_micros", None)
    attempt = _attempt(connection, event)
    charged = attempt.failed_tasks_charged
    if charged == "unknown" and reported is None:
        _move(connection, event, S.FAILED, finished_at=event.at, **data)  # the reservation stays until reconciled
        return
    if reported is not None:
        micros, basis = reported, "reported"
    else:
        micros, basis = (attempt.predicted_micros if charged == "yes" else 0), "estimated"
    _move(connection, event, S.FAILED, finished_at=event.at, settled_micros=micros, units_basis=basis, **data)
    _give_back(connection, event)
    if micros:
        _charge(connection, event, attempt, entry="settle", micros=micros, basis=basis)


def _attempt_url_refreshed(connection: Connection, event: Event) -> None:
    _set_attempt(connection, event, **event.data)


def _attempt_stored(connection: Connection, event: Event) -> None:
    _move(connection, event, S.STORED, stored_at=event.at, finished_at=event.at, **event.data)


def _attempt_quarantined(connection: Connection, event: Event) -> None:
    _move(connection, event, S.QUARANTINED, finished_at=event.at, **event.data)


def _attempt_result_lost(connection: Connection, event: Event) -> None:
    _move(connection, event, S.RESULT_LOST, finished_at=event.at, **event.data)


def _attempt_written_off(connection: Connection, event: Event) -> None:
    attempt = _attempt(connection, event)
    if attempt.settled_micros is not None:  # it had succeeded: the charge is booked already
        _move(connection, event, S.WRITTEN_OFF, finished_at=event.at, **event.data)
        return
    micros = attempt.predicted_micros
    _move(
        connection,
        event,
        S.WRITTEN_OFF,
        finished_at=event.at,
        settled_micros=micros,
        units_basis="estimated",
        **event.data,
    )
    _give_back(connection, event)
    _charge(connection, event, attempt, entry="settle", micros=micros, basis="estimated")


def _resubmit_allowed(connection: Connection, event: Event) -> None:
    _set_attempt(connection, event, resubmit_allowed=True)


def _noted(_connection: Connection, _event: Event) -> None:
    """Evidence that changes no state: a late answer, an upstream that went back."""


# --- accounts ----------------------------------------------------------------------------------------------------


def _account_stopped(connection: Connection, event: Event) -> None:
    _account(
        connection,
        event,
        event.account,
        stopped_reason=event.data["reason"],
        stopped_message=event.data["message"],
        stopped_at=event.at,
    )


def _account_resumed(connection: Connection, event: Event) -> None:
    _account(
        connection,
        event,
        event.account,
        paused=False,
        stopped_reason=None,
        stopped_message=None,
        stopped_at=None,
    )


def _account_paused(connection: Connection, event: Event) -> None:
    _account(connection, event, event.account, paused=True)


def _account(
    connection: Connection,
    event: Event,
    account: str | None,
    *,
    in_flight: int = 0,
    micros: int = 0,
    **values: Any,
) -> None:
    table = tables.accounts
    row = connection.execute(select(table).where(table.c.account == account)).first()
    if row is None:
        empty: dict[str, Any] = {
            "paused": False,
            "stopped_reason": None,
            "stopped_message": None,
            "stopped_at": None,
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


# --- shared ------------------------------------------------------------------------------------------------------


def _attempt(connection: Connection, event: Event) -> Any:
    return connection.execute(select(tables.attempts).where(tables.attempts.c.attempt_id == event.attempt_id)).one()


def _set_attempt(connection: Connection, event: Event, **values: Any) -> None:
    connection.execute(
        update(tables.attempts).where(tables.attempts.c.attempt_id == event.attempt_id).values(seq=event.seq, **values)
    )


def _move(connection: Connection, event: Event, state: AttemptState, **values: Any) -> None:
    before = _attempt(connection, event)
    _set_attempt(connection, event, state=state.value, **values)
    if AttemptState(before.state) in SLOT_HOLDING and state not in SLOT_HOLDING:
        _account(connection, event, before.account, in_flight=-1)


def _give_back(connection: Connection, event: Event) -> None:
    attempt = _attempt(connection, event)
    _charge(connection, event, attempt, entry="release", micros=-attempt.predicted_micros, basis="predicted")


def _charge(connection: Connection, event: Event, attempt: Any, *, entry: str, micros: int, basis: str) -> None:
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
    _account(connection, event, attempt.account, micros=micros)
    days = tables.account_days
    same_day = (days.c.account == attempt.account) & (days.c.day == attempt.budget_day)
    row = connection.execute(select(days.c.committed_micros).where(same_day)).first()
    if row is None:
        connection.execute(
            insert(days).values(account=attempt.account, day=attempt.budget_day, committed_micros=micros)
        )
    else:
        connection.execute(update(days).where(same_day).values(committed_micros=row.committed_micros + micros))


def clear(connection: Connection) -> None:
    """Empty the folded tables, children first; used by a replay into the same database's copy."""
    for table in (
        tables.schedule,
        tables.charges,
        tables.attempts,
        tables.videos,
        tables.accounts,
        tables.account_days,
    ):
        connection.execute(delete(table))


FOLDS: Final[dict[str, Callable[[Connection, Event], None]]] = {
    "video_declared": _video_declared,
    "video_withdrawn": _video_withdrawn,
    "source_stored": _source_stored,
    "video_progressed": _video_progressed,
    "attempt_claimed": _attempt_claimed,
    "attempt_sending": _attempt_sending,
    "attempt_submitted": _attempt_submitted,
    "attempt_in_doubt": _attempt_in_doubt,
    "attempt_absent": _attempt_absent,
    "attempt_rejected": _attempt_rejected,
    "attempt_released": _attempt_released,
    "attempt_processing": _attempt_processing,
    "attempt_succeeded": _attempt_succeeded,
    "attempt_failed": _attempt_failed,
    "attempt_url_refreshed": _attempt_url_refreshed,
    "attempt_stored": _attempt_stored,
    "attempt_quarantined": _attempt_quarantined,
    "attempt_result_lost": _attempt_result_lost,
    "attempt_written_off": _attempt_written_off,
    "resubmit_allowed": _resubmit_allowed,
    "late_answer": _noted,
    "upstream_went_back": _noted,
    "account_stopped": _account_stopped,
    "account_resumed": _account_resumed,
    "account_paused": _account_paused,
}
