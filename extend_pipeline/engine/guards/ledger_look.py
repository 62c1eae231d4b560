"""Compare the opened ledger with the home's memory of it. The memory is read first, so that a write of another process
in between never makes the ledger look older than the memory."""

import logging
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.ledger_memory import Memory, Unreadable, read_home, write_memory
from extend_pipeline.engine.guards.ledger_verdict import Facts, LedgerVerdict, decide
from extend_pipeline.ledger.address import shown_address
from extend_pipeline.ledger.database import Ledger, NotOpenError
from extend_pipeline.ledger.identity import Identity, Standing, event_digest, has_attempts, read_identity
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import files
from extend_pipeline.media.store import FOLDERS, MediaRef, MediaStore
from extend_pipeline.media.stores import open_store

_log = logging.getLogger(__name__)

_CRASHED_FETCH_MS: Final = 3_600_000
"""Films up to an hour younger than the ledger's last event may come from a fetch that a crash interrupted."""


@dataclass(frozen=True, slots=True)
class HomeSide:
    """The home's side of the comparison. `films` (hash → mtime in ms) and `published_seq` are read only without a
    memory."""

    settings: Settings
    memory: Memory | Unreadable | None
    anchor: int | None
    films: Mapping[str, int]
    published_seq: int


def look_at_home(settings: Settings) -> HomeSide:
    """Read the home's side of the comparison. Must be called before the ledger's transaction begins."""
    folder = settings.state_dir
    (memory, anchor), films, published_seq = read_home(folder), dict[str, int](), 0
    if memory is None:
        films, published_seq = _films(open_store(settings)), _published_seq(settings.warehouse_path)
        # another process may be storing the first films now; it writes the memory before them
        memory, anchor = read_home(folder)
    return HomeSide(settings, memory, anchor, films, published_seq)


def look_inside(home: HomeSide, ledger: Ledger, connection: Connection) -> LedgerVerdict:
    """Return the verdict on the ledger, from a transaction that was begun after the home was read."""
    return decide(home.memory, _facts(home, ledger, connection))


def _facts(home: HomeSide, ledger: Ledger, connection: Connection) -> Facts:
    head, memory = read_identity(connection), home.memory
    event = event_digest(connection, memory.seq) if isinstance(memory, Memory) else ""
    if isinstance(memory, Memory) and (head.ledger_id, head.seq, event) == (memory.ledger_id, memory.seq, memory.event):
        bought, committed = memory.bought, memory.committed  # the same history has the same sums
    else:
        bought, committed = has_attempts(connection), _committed(connection)
    return Facts(
        address=shown_address(home.settings.ledger_url),
        head=head,
        event=event,
        bought=bought,
        committed=committed,
        on_server=_on_server(ledger),
        anchor=home.anchor,
        home=home_name(home.settings),
        unknown_films=_unknown_films(home.films, connection, bought=bought) if home.films else 0,
        published_seq=home.published_seq,
    )


def look(settings: Settings, ledger: Ledger) -> LedgerVerdict:
    """Return the verdict on the opened ledger. Reads a small file and runs four small queries."""
    home = look_at_home(settings)
    with ledger.read() as connection:
        return look_inside(home, ledger, connection)


def must_take_writes(ledger: Ledger) -> None:
    """Raise NotOpenError when the ledger was moved to another place or is an unfinished copy."""
    with ledger.read() as connection:
        head = read_identity(connection)
    if head.standing is not Standing.OPEN:
        raise NotOpenError(shown_address(ledger.url), head)


def remember(settings: Settings, ledger: Ledger) -> LedgerVerdict:
    """Update the home's memory of the ledger if the ledger is the right one and has new events; return the verdict.

    When the home can't be written, a warning is logged and the older memory stays in force.
    """
    home = look_at_home(settings)
    with ledger.read() as connection:
        facts = _facts(home, ledger, connection)
        verdict, head = decide(home.memory, facts), facts.head
        if not verdict.may_spend:
            return verdict
        if isinstance(home.memory, Memory) and (home.memory.ledger_id, home.memory.seq) == (head.ledger_id, head.seq):
            return verdict
        memory = _memory(settings, ledger, connection, head, bought=facts.bought, committed=facts.committed)
    try:
        replaceable = frozenset({memory.ledger_id, head.origin_id or memory.ledger_id})
        write_memory(settings.state_dir, memory, instead_of=replaceable)
    except OSError as error:
        _log.warning("%s can't be written, so this home doesn't remember its ledger: %s", settings.state_dir, error)
    return verdict


def accept(settings: Settings, ledger: Ledger, *, who: str, why: str, now_ms: int) -> LedgerVerdict:
    """Accept the opened ledger by the operator's decision, which is recorded in it; return the verdict before.

    Nothing changes when that verdict needs no acceptance or can't be accepted. Raises OSError when the home can't be
    written.
    """
    home = look_at_home(settings)
    with ledger.read() as connection:
        verdict = look_inside(home, ledger, connection)
    if not verdict.kind.can_be_accepted:
        return verdict
    before = home.memory if isinstance(home.memory, Memory) else None
    data = {
        "kind": verdict.kind.value,
        "why": why,
        "remembered_ledger": before.ledger_id if before else None,
        "remembered_seq": before.seq if before else None,
    }
    with ledger.write(now_ms=now_ms, actor=who) as tx:
        tx.append("ledger_accepted", data=data)
    adopt(settings, ledger)
    return verdict


def adopt(settings: Settings, ledger: Ledger) -> None:
    """Replace the home's memory by the opened ledger. Raises OSError."""
    with ledger.read() as connection:
        head, bought, committed = read_identity(connection), has_attempts(connection), _committed(connection)
        memory = _memory(settings, ledger, connection, head, bought=bought, committed=committed)
    write_memory(settings.state_dir, memory, instead_of=None)


def _memory(
    settings: Settings,
    ledger: Ledger,
    connection: Connection,
    head: Identity,
    *,
    bought: bool,
    committed: Mapping[str, int],
) -> Memory:
    return Memory(
        ledger_id=head.ledger_id or "",
        seq=head.seq,
        event=event_digest(connection, head.seq),
        bought=bought,
        committed=committed,
        anchor=None if _on_server(ledger) else 0,  # `write_memory` sets it
        home=home_name(settings),
    )


def _on_server(ledger: Ledger) -> bool:
    return ledger.dialect != "sqlite"


def home_name(settings: Settings) -> str:
    """Return the home's host:folder, for an operator to read."""
    return f"{settings.host_name or socket.gethostname()}:{settings.home}"


def _committed(connection: Connection) -> dict[str, int]:
    return {name: row.committed_micros for name, row in queries.accounts(connection).items() if row.committed_micros}


def _films(store: MediaStore) -> dict[str, int]:
    """Return the films of the store: hash → time of the last change (UTC ms)."""
    listed = (item for folder in FOLDERS for item in store.films_in(folder).items())
    return {MediaRef.parse(name).sha256: film.modified_ms for name, film in listed}


def _unknown_films(films: Mapping[str, int], connection: Connection, *, bought: bool) -> int:
    """Count the films in the store that the ledger doesn't have: all of them if nothing was ever claimed, else those
    stored more than an hour after the ledger's last event."""
    since_ms = -1
    if bought:
        since_ms = (queries.last_event_at(connection) or 0) + _CRASHED_FETCH_MS
    later = {sha256 for sha256, at_ms in films.items() if at_ms > since_ms}
    return len(later - _known(connection, later))


def _known(connection: Connection, films: Collection[str]) -> set[str]:
    """Return those of the films that the ledger has, folder by folder, because an index leads from a folder to its
    files."""
    by_folder: dict[str, set[str]] = {}
    for sha256 in films:
        by_folder.setdefault(sha256[:2], set()).add(sha256)
    return {sha256 for folder, own in by_folder.items() for sha256 in own & files.hashes_in(connection, folder)}


def _published_seq(path: Path) -> int:
    if not path.exists():
        return 0
    from extend_pipeline.warehouse.errors import WarehouseError
    from extend_pipeline.warehouse.read import meta

    try:
        published = meta(path)
    except WarehouseError:
        return 0
    return 0 if published is None else published.ledger_seq
