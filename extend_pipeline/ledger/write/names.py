"""New names of videos and accounts, and decisions about edited steps: what was paid for goes on under them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, delete, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.queries import chunks
from extend_pipeline.ledger.states import LIVE, AttemptState

S = AttemptState

BOUGHT: Final = frozenset({*LIVE, S.STORED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF})
"""States of an attempt that was paid for, or may have been: the same purchase is not made again without a word."""


@dataclass(frozen=True, slots=True)
class Renames:
    """Names that the files say were others before, and that the ledger still has under the old ones: old by new.
    `unknown` are accounts that the ledger knows by neither name, as one that was lost: they are named by the old."""

    videos: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.videos or self.accounts or self.unknown)


@dataclass(frozen=True, slots=True)
class Choice:
    """What an edited step of a video is: the paid step that it stands for, or itself where it is bought anew."""

    hop: int
    chain_digest: str
    stands_for: str


def pending_renames(connection: Connection, *, videos: Mapping[str, str], accounts: Mapping[str, str]) -> Renames:
    """Return which names that were others before (old by new) are still to be brought over: the old name is known, and
    of a video nothing was bought under the new one."""
    old_videos = _there(connection, tables.videos.c.video_key, videos.values())
    states = [state.value for state in BOUGHT]
    taken = {
        key
        for part in chunks(new for new, old in videos.items() if old in old_videos)
        for key in connection.execute(
            select(tables.attempts.c.video_key).where(
                tables.attempts.c.video_key.in_(part), tables.attempts.c.state.in_(states)
            )
        ).scalars()
    }
    known = _there(connection, tables.accounts.c.account, [*accounts, *accounts.values()])
    return Renames(
        {new: old for new, old in videos.items() if old in old_videos and new not in taken},
        {new: old for new, old in accounts.items() if old in known},
        {new: old for new, old in accounts.items() if old not in known and new not in known},
    )


def _there(connection: Connection, column: Any, names: Iterable[str]) -> set[str]:
    parts = chunks(names)
    return {name for part in parts for name in connection.execute(select(column).where(column.in_(part))).scalars()}


def rename(tx: LedgerTransaction, renames: Renames) -> None:
    """Bring over what was bought under the old names. The hints, which are no part of the events, move along."""
    for new, old in renames.unknown.items():
        tx.append("account_named", account=new, data={"first_name": old})
    for new, old in renames.accounts.items():
        tx.append("account_renamed", account=new, data={"was": old})
        tx.connection.execute(delete(tables.backoff).where(tables.backoff.c.account == old))
        for table in (tables.schedule, tables.inbox):
            tx.connection.execute(update(table).where(table.c.account == old).values(account=new))
    for new, old in renames.videos.items():
        tx.append("video_renamed", video_key=new, data={"was": old})


def choose(tx: LedgerTransaction, video_key: str, choices: Sequence[Choice], *, why: str) -> None:
    """Write down what edited steps of a video are; what is written down already is left."""
    known = choices_of(tx.connection, [video_key]).get(video_key, {}) if choices else {}
    for choice in choices:
        if known.get(choice.chain_digest) != choice.stands_for:
            data = {
                "hop": choice.hop,
                "chain_digest": choice.chain_digest,
                "stands_for": choice.stands_for,
                "why": why,
            }
            tx.append("step_chosen", video_key=video_key, data=data)


def choices_of(connection: Connection, keys: Collection[str]) -> dict[str, dict[str, str]]:
    """Return what steps of the named videos stand for, by video and digest."""
    table = tables.step_choices
    found: dict[str, dict[str, str]] = {}
    for part in chunks(keys):
        for row in connection.execute(select(table).where(table.c.video_key.in_(part))):
            found.setdefault(row.video_key, {})[row.chain_digest] = row.stands_for
    return found


def first_names(connection: Connection, keys: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names that the named videos, and all accounts, were first known by, where they have others now."""
    table = tables.videos
    named = select(table.c.video_key, table.c.first_key).where(table.c.first_key.is_not(None))
    videos = {
        row.video_key: row.first_key
        for part in chunks(keys)
        for row in connection.execute(named.where(table.c.video_key.in_(part)))
    }
    accounts = tables.accounts
    renamed = select(accounts.c.account, accounts.c.first_name).where(accounts.c.first_name.is_not(None))
    return videos, {row.account: row.first_name for row in connection.execute(renamed)}


@dataclass(frozen=True, slots=True)
class Bought:
    """An attempt that made a purchase, or may have."""

    purchase: str
    video_key: str
    hop: int
    account: str


def bought(connection: Connection, purchases: Collection[str]) -> list[Bought]:
    """Return the attempts that bought one of these purchases, or may have, newest claim first."""
    table = tables.attempts
    states = [state.value for state in BOUGHT]
    columns = (table.c.purchase, table.c.video_key, table.c.hop, table.c.account, table.c.claimed_at)
    query = select(*columns).where(table.c.state.in_(states))
    rows = [row for part in chunks(purchases) for row in connection.execute(query.where(table.c.purchase.in_(part)))]
    rows.sort(key=lambda row: row.claimed_at, reverse=True)
    return [Bought(*columns) for *columns, _ in rows]
