"""Append events: each is applied to the state tables at once, by the code that a replay uses, and written with what
follows from it before the transaction's next statement."""

import json
from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import Connection, update

from extend_pipeline.base.version import program_version
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection import apply
from extend_pipeline.ledger.projection.event import Event
from extend_pipeline.ledger.projection.state_rows import StateRows

_SET_HEAD: Final = update(tables.ledger_head)


class LedgerTransaction:
    """An open write transaction. No other writer runs until it ends: read, decide, append.

    `rows` are the rows that it changes. What was appended is written before `connection` is used, or at its end.
    """

    def __init__(self, connection: Connection, *, now_ms: int, actor: str, seq: int) -> None:
        self.rows = StateRows(connection)
        self.now_ms = now_ms
        self.actor = actor
        self.seq = self._begun_at = seq

    @property
    def connection(self) -> Connection:
        """Return the connection, for statements that must see what was appended."""
        return self.rows.connection

    def expect(self, attempt_ids: Collection[str], tasks: Collection[tuple[str, str]] = ()) -> None:
        """Read these attempts by one statement when the first of them is needed, and likewise the attempts that have
        these tasks (account and task ID)."""
        self.rows.expect(attempt_ids, tasks)

    def append(
        self,
        kind: str,
        *,
        attempt_id: str | None = None,
        video_key: str | None = None,
        account: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Append one event and apply it. Raises KeyError for a kind without a projection."""
        event = Event(self.seq + 1, self.now_ms, kind, self.actor, attempt_id, video_key, account, data or {})
        self.rows.insert(
            tables.events,
            {
                "seq": event.seq,
                "at": event.at,
                "kind": event.kind,
                "actor": event.actor,
                "attempt_id": event.attempt_id,
                "video_key": event.video_key,
                "account": event.account,
                "data": json.dumps(dict(event.data), sort_keys=True, separators=(",", ":")),
            },
        )
        apply.apply_event(self.rows, event)
        self.seq = event.seq
        return event

    def end(self) -> None:
        """Write what is pending, and the number of the last event, before the commit."""
        self.rows.flush()
        if self.seq != self._begun_at:
            self.connection.execute(_SET_HEAD, {"seq": self.seq, "program": program_version()})
