"""The effect of each kind of event on the state tables. Transactions and a replay run the same functions.

A projection never decides: checks and compare-and-set are done before an event is appended (`transitions`, `claims`,
`controls`). It reads only the row that it changes and the event.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import insert, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.attempts import ATTEMPT_PROJECTIONS
from extend_pipeline.ledger.projection.event import Event
from extend_pipeline.ledger.projection.files import FILE_PROJECTIONS
from extend_pipeline.ledger.projection.names import NAME_PROJECTIONS
from extend_pipeline.ledger.projection.rows import change_account
from extend_pipeline.ledger.projection.state_rows import StateRows, upsert
from extend_pipeline.ledger.states import VideoState


def apply_event(rows: StateRows, event: Event) -> None:
    """Apply one event. Raises KeyError for a kind that this version doesn't know, because a newer one wrote it."""
    PROJECTIONS[event.kind](rows, event)


def _video_declared(rows: StateRows, event: Event) -> None:
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
    rows.put(tables.videos, values)


def _video_withdrawn(rows: StateRows, event: Event) -> None:
    reason = event.data.get("reason", "withdrawn")
    _set_video(rows, event, state=VideoState.WITHDRAWN.value, state_reason=reason, state_detail="")


def _source_stored(rows: StateRows, event: Event) -> None:
    data = event.data
    measured = {"source_probed_ms": data.get("duration_ms"), "source_fault": None, "source_fault_at": None}
    _set_video(rows, event, source_sha256=data["sha256"], source_path=data["path"], **measured)


def _source_unreachable(rows: StateRows, event: Event) -> None:
    _set_video(rows, event, source_fault=event.data["message"], source_fault_at=event.at)


def _video_progressed(rows: StateRows, event: Event) -> None:
    _set_video(rows, event, **event.data)


def _set_video(rows: StateRows, event: Event, **values: Any) -> None:
    rows.change(tables.videos, event.video_key, {"seq": event.seq, **values})


def _account_stopped(rows: StateRows, event: Event) -> None:
    change_account(
        rows,
        event,
        stopped_reason=event.data["reason"],
        stopped_message=event.data["message"],
        stopped_at=event.at,
    )


def _account_resumed(rows: StateRows, event: Event) -> None:
    change_account(
        rows,
        event,
        paused=False,
        stopped_reason=None,
        stopped_message=None,
        stopped_at=None,
        refused_keys=None,
    )


def _key_refused(rows: StateRows, event: Event) -> None:
    change_account(rows, event, refused_keys=" ".join(event.data["marks"]))


def _key_accepted(rows: StateRows, event: Event) -> None:
    change_account(rows, event, stopped_reason=None, stopped_message=None, stopped_at=None)


def _account_stop_lifted(rows: StateRows, event: Event) -> None:
    change_account(rows, event, stopped_reason=None, stopped_message=None, stopped_at=None)


def _account_paused(rows: StateRows, event: Event) -> None:
    change_account(rows, event, paused=True)


def _account_silent(rows: StateRows, event: Event) -> None:
    change_account(rows, event, silent_submits=event.data["silent_submits"])


def _account_replied(rows: StateRows, event: Event) -> None:
    change_account(rows, event, silent_submits=0)


def _reconciled(rows: StateRows, event: Event) -> None:
    table = tables.reconciliations
    own = {"account": event.account, "source": event.data["source"], "at": event.at, "seq": event.seq}
    # one statement takes a task once; the newest row counts
    compared = list({row["task_id"]: {**row, **own} for row in event.data["rows"]}.values())
    rows.connection.execute(upsert(table, frozenset(table.c.keys())), compared)


def _no_state_change(rows: StateRows, event: Event) -> None:
    """Change no row: the event is kept as history."""


def _statement_read(rows: StateRows, event: Event) -> None:
    data = event.data
    values = {"others": data["others"], "others_newest_at": data["others_newest_at"]}
    values |= {"read_at": event.at, "unread_since": None, "unread_message": None}
    _set_statement(rows, event, values)


def _statement_unavailable(rows: StateRows, event: Event) -> None:
    table = tables.statements
    same = (table.c.account == event.account) & (table.c.source == event.data["source"])
    since = rows.connection.execute(select(table.c["unread_since"]).where(same)).scalar()
    values = {"unread_since": event.at if since is None else since, "unread_message": event.data["message"]}
    _set_statement(rows, event, values)


def _set_statement(rows: StateRows, event: Event, values: dict[str, Any]) -> None:
    table = tables.statements
    keys = {"account": event.account, "source": event.data["source"]}
    changes = {**values, "seq": event.seq}
    row = {**keys, "others": 0, **changes}
    statement = upsert(table, frozenset(row), keeping=frozenset(row) - frozenset(changes))
    rows.connection.execute(statement, row)


def _charged_less(rows: StateRows, event: Event) -> None:
    own = {"account": event.account, "attempt_id": event.attempt_id, "at": event.at, "seq": event.seq}
    rows.connection.execute(insert(tables.lower_charges), {**event.data, **own})


PROJECTIONS: Final[dict[str, Callable[[StateRows, Event], None]]] = {
    "video_declared": _video_declared,
    "video_withdrawn": _video_withdrawn,
    "source_stored": _source_stored,
    "source_unreachable": _source_unreachable,
    "video_progressed": _video_progressed,
    "account_stopped": _account_stopped,
    "account_resumed": _account_resumed,
    "account_stop_lifted": _account_stop_lifted,
    "account_paused": _account_paused,
    "account_silent": _account_silent,
    "account_replied": _account_replied,
    "key_refused": _key_refused,
    "key_accepted": _key_accepted,
    "reconciled": _reconciled,
    "statement_read": _statement_read,
    "statement_unread": _statement_unavailable,
    "charged_less": _charged_less,
    **NAME_PROJECTIONS,
    "ledger_accepted": _no_state_change,
    "ledger_copied": _no_state_change,
    **ATTEMPT_PROJECTIONS,
    **FILE_PROJECTIONS,
}
