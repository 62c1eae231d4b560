"""The effect of files' events on `missing_files`: one row for each file that was ever found missing."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.event import Event
from extend_pipeline.ledger.projection.state_rows import StateRows, upsert


def _file_missing(rows: StateRows, event: Event) -> None:
    table = tables.missing_files
    values: dict[str, Any] = {
        **event.data,
        "video_key": event.video_key,
        "account": event.account,
        "state": "missing",
        "since": event.at,
        "tries": 0,
        "tried_at": None,
        "message": "",
        "seq": event.seq,
    }
    rows.connection.execute(upsert(table, frozenset(values)), values)


def _file_not_restored(rows: StateRows, event: Event) -> None:
    tries = tables.missing_files.c.tries + 1
    _set_file(rows, event, tries=tries, tried_at=event.at, message=event.data["message"])


def _file_restored(rows: StateRows, event: Event) -> None:
    _set_file(rows, event, state="restored", message=event.data["message"])


def _file_lost(rows: StateRows, event: Event) -> None:
    _set_file(rows, event, state="lost", message=event.data["message"])


def _file_forgotten(rows: StateRows, event: Event) -> None:
    _set_file(rows, event, state="forgotten")


def _set_file(rows: StateRows, event: Event, **values: Any) -> None:
    table = tables.missing_files
    this = (table.c.owner == event.data["owner"]) & (table.c.role == event.data["role"])
    rows.connection.execute(update(table).where(this).values(seq=event.seq, **values))


FILE_PROJECTIONS: Final[dict[str, Callable[[StateRows, Event], None]]] = {
    "file_missing": _file_missing,
    "file_not_restored": _file_not_restored,
    "file_restored": _file_restored,
    "file_lost": _file_lost,
    "file_forgotten": _file_forgotten,
}
