"""How far the ledger is recorded in Dagster, kept in Dagster's own storage under the ledger's id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import dagster as dg
from sqlalchemy import Connection

from extend_pipeline.dagster_defs.mount import Mount
from extend_pipeline.ledger.identity import event_digest, read_identity
from extend_pipeline.ledger.read import queries

if TYPE_CHECKING:
    from dagster._core.storage.daemon_cursor import DaemonCursorStorage

_RECORDED: Final = "recorded"
_EVENT: Final = "recorded_event"  # beside the number and with it, because earlier versions read that as a number
_ASSETS: Final = "recorded_assets"
_COMPARED: Final = "synced"


@dataclass(frozen=True, slots=True)
class Compared:
    """Up to which event of the ledger (`seq`) changed videos were compared with the partitions above theirs, under
    which code version, and how far the comparison of all videos is.

    That one goes on after the key `after`; None: it is over. Up to `bare_id` of Dagster's event log, materializations
    name neither code version nor inputs, because an earlier version of this package has made them. Those up to `old_id`
    were made by another code version than this one.
    """

    seq: int
    code_version: str
    bare_id: int = 0
    old_id: int = 0
    after: str | None = None

    @classmethod
    def parse(cls, text: str) -> Compared:
        """Return what a text stands for."""
        seq, code_version, bare_id, old_id, after, *_ = [*text.split(" ", 4), *(None,) * 4]
        return cls(int(seq or 0), code_version or "", int(bare_id or 0), int(old_id or 0), after)

    def __str__(self) -> str:
        done = f"{self.seq} {self.code_version} {self.bare_id}"
        return done if self.after is None else f"{done} {self.old_id} {self.after}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The values of one ledger and mount. `place` ends their keys."""

    storage: DaemonCursorStorage
    place: str

    @classmethod
    def of(cls, instance: dg.DagsterInstance, mount: Mount, ledger: Connection) -> Progress:
        """Return the values of the ledger that a connection reads."""
        place = "/".join([*mount.key_prefix, str(read_identity(ledger).ledger_id)])
        return cls(instance.daemon_cursor_storage, place)

    def recorded(self, ledger: Connection) -> int | None:
        """Return the number of the ledger's event up to which everything is recorded. None without one, and if that
        event is not in the ledger, or another one has its number, because an older state was restored since. A number
        without an event, which earlier versions have kept, is taken as it is."""
        text = self._read(_RECORDED)
        if text is None:
            return None
        of_number, _, event = (self._read(_EVENT) or "").partition(" ")
        seq = int(text)
        is_there = seq <= queries.head(ledger) and (of_number != text or event_digest(ledger, seq) == event)
        return seq if is_there else None

    def assets(self) -> frozenset[dg.AssetKey]:
        """Return the assets (keys without a prefix) that had a materialization when that number was kept."""
        return frozenset(dg.AssetKey(name) for name in (self._read(_ASSETS) or "").split())

    def compared(self) -> Compared | None:
        """Return how far partitions were compared with those above; None if never."""
        text = self._read(_COMPARED)
        return None if text is None else Compared.parse(text)

    def keep_recorded(self, ledger: Connection, seq: int, assets: Collection[dg.AssetKey]) -> None:
        """Keep up to which event of the ledger everything is recorded, and the assets that have a materialization."""
        names = " ".join(sorted(asset.to_user_string() for asset in assets))
        values = {_RECORDED: str(seq), _EVENT: f"{seq} {event_digest(ledger, seq)}", _ASSETS: names}
        self.storage.set_cursor_values({self._key(what): value for what, value in values.items()})

    def keep_compared(self, compared: Compared) -> None:
        """Keep how far partitions were compared."""
        self.storage.set_cursor_values({self._key(_COMPARED): str(compared)})

    def _read(self, what: str) -> str | None:
        key = self._key(what)
        return self.storage.get_cursor_values({key}).get(key)

    def _key(self, what: str) -> str:
        return f"extend_pipeline/{what}/{self.place}"
