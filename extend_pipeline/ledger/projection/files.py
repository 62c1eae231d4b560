"""The effect of files' events on `missing_files`: one row for each file that was ever found missing."""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.event import Event


def _file_missing(connection: Connection, event: Event) -> None:
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
    insert_or = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    changes = {name: value for name, value in values.items() if name not in ("owner", "role")}
    statement = insert_or(table).values(**values)
    connection.execute(statement.on_conflict_do_update(index_elements=["owner", "role"], set_=changes))


def _file_not_restored(connection: Connection, event: Event) -> None:
    tries = tables.missing_files.c.tries + 1
    _set_file(connection, event, tries=tries, tried_at=event.at, message=event.data["message"])


def _file_restored(connection: Connection, event: Event) -> None:
    _set_file(connection, event, state="restored", message=event.data["message"])


def _file_lost(connection: Connection, event: Event) -> None:
    _set_file(connection, event, state="lost", message=event.data["message"])


def _file_forgotten(connection: Connection, event: Event) -> None:
    _set_file(connection, event, state="forgotten")


def _set_file(connection: Connection, event: Event, **values: Any) -> None:
    table = tables.missing_files
    this = (table.c.owner == event.data["owner"]) & (table.c.role == event.data["role"])
    connection.execute(update(table).where(this).values(seq=event.seq, **values))


FILE_PROJECTIONS: Final[dict[str, Callable[[Connection, Event], None]]] = {
    "file_missing": _file_missing,
    "file_not_restored": _file_not_restored,
    "file_restored": _file_restored,
    "file_lost": _file_lost,
    "file_forgotten": _file_forgotten,
}
