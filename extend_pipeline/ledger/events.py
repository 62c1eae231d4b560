"""Append events: each is written and applied to the state tables at once, by the code that a replay uses."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.event import Event
from extend_pipeline.ledger.projection import apply


class LedgerTransaction:
    """An open write transaction. No other writer runs until it ends: read, decide, append."""

    def __init__(self, connection: Connection, *, now_ms: int, actor: str, seq: int) -> None:
        self.connection = connection
        self.now_ms = now_ms
        self.actor = actor
        self.seq = seq

    def append(
        self,
        kind: str,
        *,
        attempt_id: str | None = None,
        video_key: str | None = None,
        account: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        """Write one event and apply it. Raises KeyError for a kind without a projection."""
        event = Event(self.seq + 1, self.now_ms, kind, self.actor, attempt_id, video_key, account, data or {})
        self.connection.execute(
            insert(tables.events).values(
                seq=event.seq,
                at=event.at,
                kind=event.kind,
                actor=event.actor,
                attempt_id=event.attempt_id,
                video_key=event.video_key,
                account=event.account,
                data=json.dumps(dict(event.data), sort_keys=True, separators=(",", ":")),
            )
        )
        apply.apply_event(self.connection, event)
        self.seq = event.seq
        return event
