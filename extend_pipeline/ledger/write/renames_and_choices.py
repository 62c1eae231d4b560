"""Renames of videos and accounts, and decisions about edited steps. Paid attempts continue under the new names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.queries import among, rows_by
from extend_pipeline.ledger.states import LIVE
from extend_pipeline.ledger.states import AttemptState as S

BOUGHT: Final = frozenset({*LIVE, S.STORED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF})
"""States of an attempt that was paid for, or may have been. The same purchase needs an operator's decision to be made
again."""


@dataclass(frozen=True, slots=True)
class Renames:
    """Renames in the files that the ledger has not applied yet: old names by new. `unknown` are accounts that the
    ledger has under neither name, as after a loss: they are named by the old one."""

    videos: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.videos or self.accounts or self.unknown)


@dataclass(frozen=True, slots=True)
class Choice:
    """The decision about an edited step of a video: the paid step that it stands for, or itself if it is bought
    anew."""

    hop: int
    chain_digest: str
    stands_for: str


_A, _V = tables.attempts.c, tables.videos.c
_IS_BOUGHT: Final = _A.state.in_([state.value for state in BOUGHT])
_VIDEO_KEYS: Final = select(_V.video_key).where(among(_V.video_key))
_ACCOUNT_NAMES: Final = select(tables.accounts.c.account).where(among(tables.accounts.c.account))
_SAME_SOURCE: Final = select(_V.source_video_id, _V.video_key).where(among(_V.source_video_id)).order_by(_V.video_key)
_SAME_ADDRESS: Final = (
    select(_V.source_video_id, _V.video_key)
    .where(func.substr(_V.source_video_id, 1, func.length(bindparam("address"))) == bindparam("address"))
    .order_by(_V.video_key)
)
_BOUGHT_KEYS: Final = select(_A.video_key).where(_IS_BOUGHT, among(_A.video_key))
_PURCHASES: Final = select(_A.purchase, _A.video_key, _A.hop, _A.account, _A.claimed_at).where(
    _IS_BOUGHT, among(_A.purchase)
)
_CHOICES: Final = select(tables.step_choices).where(among(tables.step_choices.c.video_key))
_RENAMED_VIDEOS: Final = select(_V.video_key, _V.first_key).where(_V.first_key.is_not(None), among(_V.video_key))
_RENAMED_ACCOUNTS: Final = select(tables.accounts.c.account, tables.accounts.c.first_name).where(
    tables.accounts.c.first_name.is_not(None)
)


def pending_renames(connection: Connection, *, videos: Mapping[str, str], accounts: Mapping[str, str]) -> Renames:
    """Return the renames (old by new) still to be applied: the ledger has the old name and, for a video, no purchase
    under the new one."""
    old_videos = {key for (key,) in rows_by(connection, _VIDEO_KEYS, videos.values())}
    new_videos = [new for new, old in videos.items() if old in old_videos]
    taken = {key for (key,) in rows_by(connection, _BOUGHT_KEYS, new_videos)}
    known = {name for (name,) in rows_by(connection, _ACCOUNT_NAMES, [*accounts, *accounts.values()])}
    return Renames(
        {new: old for new, old in videos.items() if old in old_videos and new not in taken},
        {new: old for new, old in accounts.items() if old in known},
        {new: old for new, old in accounts.items() if old not in known and new not in known},
    )


def left_from(connection: Connection, sources: Collection[str], *, catalogue: Collection[str]) -> dict[str, str]:
    """Return the key of a video that isn't in the catalogue and has bought something, by the source that it extends."""
    found = {row.video_key: row.source_video_id for row in rows_by(connection, _SAME_SOURCE, sources)}
    for source in sources:
        if "://" in source:  # a URL that is signed anew is another text for the same source
            unsigned = without_signature(source)
            rows = connection.execute(_SAME_ADDRESS, {"address": source.partition("?")[0]})
            found |= {row.video_key: source for row in rows if without_signature(row.source_video_id) == unsigned}
    paid = {key for (key,) in rows_by(connection, _BOUGHT_KEYS, found.keys() - set(catalogue))}
    return {source: key for key, source in found.items() if key in paid}


def unknown(connection: Connection, keys: Collection[str]) -> set[str]:
    """Return those of the keys that no video of the ledger has."""
    return set(keys).difference(key for (key,) in rows_by(connection, _VIDEO_KEYS, keys))


def rename(tx: LedgerTransaction, renames: Renames) -> None:
    """Apply the renames to everything bought under the old names, and to the hints, which are not part of the
    events."""
    for new, old in renames.unknown.items():
        tx.append("account_named", account=new, data={"first_name": old})
    for new, old in renames.accounts.items():
        tx.append("account_renamed", account=new, data={"was": old})
        for table in (tables.backoff, tables.contacts):
            tx.connection.execute(delete(table).where(table.c.account == old))
        for table in (tables.schedule, tables.inbox):
            tx.connection.execute(update(table).where(table.c.account == old).values(account=new))
    for new, old in renames.videos.items():
        tx.append("video_renamed", video_key=new, data={"was": old})


def choose(tx: LedgerTransaction, video_key: str, choices: Sequence[Choice], *, why: str) -> None:
    """Record the decisions about edited steps of a video. A known decision is not written again."""
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
    """Return the step that each decided step of the named videos stands for, by video and digest."""
    choices: dict[str, dict[str, str]] = {}
    for row in rows_by(connection, _CHOICES, keys):
        choices.setdefault(row.video_key, {})[row.chain_digest] = row.stands_for
    return choices


def first_names(connection: Connection, keys: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the first names of the named videos and of all accounts, if they have other names now."""
    videos = {row.video_key: row.first_key for row in rows_by(connection, _RENAMED_VIDEOS, keys)}
    return videos, {row.account: row.first_name for row in connection.execute(_RENAMED_ACCOUNTS)}


@dataclass(frozen=True, slots=True)
class Bought:
    """An attempt that made a purchase, or may have."""

    purchase: str
    video_key: str
    hop: int
    account: str


def bought(connection: Connection, purchases: Collection[str]) -> list[Bought]:
    """Return the attempts that bought one of these purchases, or may have, newest claim first."""
    rows = rows_by(connection, _PURCHASES, purchases)
    return [Bought(*columns) for *columns, _ in sorted(rows, key=lambda row: row.claimed_at, reverse=True)]
