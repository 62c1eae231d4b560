"""Notice that a ledger holds the videos of another home, before this home would withdraw them.

Several machines with the same catalogue may share a ledger on a server. Two homes with different ones would withdraw
each other's videos with every look. The ledger therefore remembers which home has declared its videos. A home that may
not declare its own goes on polling and fetching, because what is paid for there may expire.
"""

from enum import Enum, auto
from typing import Final

from sqlalchemy import Connection

from extend_pipeline.base.wording import counted
from extend_pipeline.config.load import Configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.ledger_look import home_name
from extend_pipeline.engine.guards.state_in_use import IN_USE
from extend_pipeline.engine.plan.model import Blocker
from extend_pipeline.ledger.address import shown_address
from extend_pipeline.ledger.database import Ledger, LedgerError
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.ledger.write.catalog_sync import Declarer, LastDeclared

GONE_MS: Final = 86_400_000
"""A home that has not looked for so long holds up no other one: a machine may be off over night, or pull once a day."""
AWAY_MS: Final = 3_600_000
"""For so long videos stay that a catalogue lacks which came about beside that of a home which has looked in this
time."""
SAY_EVERY_MS: Final = 600_000
"""How often the home that has declared last records that it is there."""

_TODO: Final = (
    "name a ledger of its own for this home: EXTEND_PIPELINE_LEDGER_URL, in Dagster ledger_url_env; or, if this home "
    "is to go on with these videos, because the other one is gone or has the same catalogue soon: "
    "extend-pipeline ledger accept. Where each container gets a new host name: EXTEND_PIPELINE_HOST_NAME"
)
_DECLARED: Final = frozenset(VideoState) - {VideoState.WITHDRAWN}


class Extent(Enum):
    """How much of its catalogue a home may declare beside another home: nothing of one that the ledger has had before,
    since this home is behind; new and changed videos; or also that videos have left."""

    NOTHING = auto()
    ADDED = auto()
    ALL = auto()


_counts: Final[dict[str, tuple[tuple[str, int, str], tuple[int, int]]]] = {}
"""By the ledger's address: the catalogues that were compared last (the ledger's with the number of the event by which
its keys changed, and this home's), and what `_compared` returned."""


class OtherHomeError(LedgerError):
    """The ledger holds another home's videos; this home may not declare its own there."""

    def __init__(self, blocker: Blocker) -> None:
        super().__init__(f"{blocker.message}. What to do: {blocker.todo}")


def declarer(settings: Settings) -> Declarer:
    """Return how the ledger remembers this home: by its host and folder, and by a file of its state folder that is made
    once and never written. Its inode and the time when it was made (mtime, which a change of its owner or rights
    leaves, as in each start of a Kubernetes pod with an `fsGroup`) stay when the folder is moved or the host renamed;
    a copy on the same disk has another inode."""
    try:
        made = (settings.state_dir / IN_USE).stat()
    except OSError:
        return Declarer(None, home_name(settings))
    return Declarer(f"{made.st_ino:x}.{made.st_mtime_ns:x}", home_name(settings))


def other_home(configuration: Configuration, connection: Connection, *, now_ms: int) -> Blocker | None:
    """Return what keeps this home from declaring and submitting: another home has declared the ledger's videos and has
    looked lately, and more than half of them are not in this catalogue. None while the files have a mistake, because
    nothing is declared then."""
    if configuration.problems:
        return None
    return _blocker(configuration, connection, catalog_sync.last_declared(connection), now_ms)


def has_videos_of_others(configuration: Configuration, connection: Connection, *, now_ms: int) -> bool:
    """Return whether the ledger's videos are another home's, as `other_home` says it, also while the files have a
    mistake: nothing of them is this home's to record."""
    return _blocker(configuration, connection, catalog_sync.last_declared(connection), now_ms) is not None


def may_declare(
    configuration: Configuration, connection: Connection, last: LastDeclared | None, *, now_ms: int
) -> Extent:
    """Return how much of its catalogue this home may declare after `last`. Raises OtherHomeError.

    Each catalogue is declared once, by the first home that has it: two homes that differ never undo each other in turn.
    """
    if (blocker := _blocker(configuration, connection, last, now_ms)) is not None:
        raise OtherHomeError(blocker)
    if last is None:
        return Extent.ALL
    catalogue, settings = configuration.catalogue, configuration.settings
    if last.digest != catalogue.digest and _other_home_is_there(settings, last, now_ms, within_ms=GONE_MS):
        if catalog_sync.was_declared(connection, catalogue.digest):
            return Extent.NOTHING
        is_edit = catalogue.change is not None and catalogue.change.since == last.digest
        if not is_edit and _other_home_is_there(settings, last, now_ms, within_ms=AWAY_MS):
            return Extent.ADDED
    waits = last.left_over_since is not None and 0 <= now_ms - last.left_over_since < AWAY_MS
    return Extent.ADDED if waits else Extent.ALL


def is_to_be_recorded(settings: Settings, last: LastDeclared | None, *, now_ms: int) -> bool:
    """Return whether this home, which has the ledger's catalogue, is to be recorded as the one that declares it: no
    home is, the one that is has not looked for long, or it is this one and has not said so lately."""
    if last is None or last.home is None:
        return True
    if last.seen_at is None:
        return False
    return abs(now_ms - last.seen_at) >= (SAY_EVERY_MS if _is_own(settings, last.home) else AWAY_MS)


def other_declarer(settings: Settings, connection: Connection) -> str:
    """Return the name of another home whose videos the ledger holds; empty if they are this one's."""
    last = catalog_sync.last_declared(connection)
    if last is None or last.home is None or last.seen_at is None or _is_own(settings, last.home):
        return ""
    return last.home.name


def take_over(settings: Settings, ledger: Ledger, *, who: str, why: str, now_ms: int) -> str:
    """Let the home that declares next be the one whose videos the ledger holds, by the operator's decision, which is
    recorded in it. It need not be this process's home, because the command may run on another machine. Return the name
    of the home before; empty if it was this one."""
    with ledger.write(now_ms=now_ms, actor=who) as tx:
        if other := other_declarer(settings, tx.connection):
            tx.append("ledger_accepted", data={"kind": "other_home", "why": why, "declared_by": other})
            catalog_sync.release(tx)
    return other


def _blocker(
    configuration: Configuration, connection: Connection, last: LastDeclared | None, now_ms: int
) -> Blocker | None:
    catalogue, settings = configuration.catalogue, configuration.settings
    if last is None or last.home is None or last.digest == catalogue.digest:
        return None
    if not _other_home_is_there(settings, last, now_ms, within_ms=GONE_MS):
        return None
    declared, leaving = _compared(configuration, connection, last)
    if 2 * leaving <= declared:
        return None
    own = declarer(settings).name
    state = " with another state folder" if own == last.home.name else ""
    message = (
        f"the ledger at {shown_address(settings.ledger_url)} holds {counted(declared, 'video')} of the home "
        f"{last.home.name}, and this home, {own}{state}, has {declared - leaving} of them and "
        f"would withdraw the others; so it polls and fetches, but declares and submits nothing until the other home "
        f"has the same catalogue or has not looked for a day"
    )
    return Blocker(BlockReason.LEDGER, message, _TODO)


def _compared(configuration: Configuration, connection: Connection, last: LastDeclared) -> tuple[int, int]:
    """Return how many videos the ledger has declared, and how many of them this catalogue lacks. Kept for a pair of
    catalogues, because each look at all keys takes the longer the more there are."""
    catalogue = configuration.catalogue
    pair = last.digest, last.keys_seq, catalogue.digest
    if catalogue.digest and (known := _counts.get(configuration.settings.ledger_url)) is not None and known[0] == pair:
        return known[1]
    declared = queries.video_keys(connection, _DECLARED)
    counts = len(declared), len(declared.difference(catalogue.videos, catalogue.renamed().values()))
    _counts[configuration.settings.ledger_url] = pair, counts
    return counts


def _other_home_is_there(settings: Settings, last: LastDeclared, now_ms: int, *, within_ms: int) -> bool:
    """Return whether another home has declared last and has looked within the time."""
    if last.home is None or last.seen_at is None or _is_own(settings, last.home):
        return False
    return abs(now_ms - last.seen_at) < within_ms


def _is_own(settings: Settings, home: Declarer) -> bool:
    """Return whether a home is this one. A host:folder alone tells it only where it was named by a person or there is
    no mark: containers may have the same one."""
    own = declarer(settings)
    if own.mark is not None and own.mark == home.mark:
        return True
    return own.name == home.name and (bool(settings.host_name) or own.mark is None or home.mark is None)
