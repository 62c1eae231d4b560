"""Notice that a ledger holds the videos of another home, before this home would withdraw them.

Several machines with the same catalogue may share a ledger on a server. Two homes with different ones would withdraw
each other's videos with every look. The ledger therefore remembers which home has declared its videos.
"""

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

_TODO: Final = (
    "name a ledger of its own for this home: EXTEND_PIPELINE_LEDGER_URL, in Dagster ledger_url_env; or, if this home "
    "is to go on with these videos, because the other one is gone or has the same catalogue soon: "
    "extend-pipeline ledger accept"
)
_DECLARED: Final = frozenset(VideoState) - {VideoState.WITHDRAWN}


class OtherHomeError(LedgerError):
    """The ledger holds another home's videos; this home may neither declare its own there nor work with those."""

    def __init__(self, blocker: Blocker) -> None:
        super().__init__(f"{blocker.message}. What to do: {blocker.todo}")


def declarer(settings: Settings) -> Declarer:
    """Return how the ledger remembers this home: by its host and folder, and by a file of its state folder that is made
    once and never written. Its inode and time of change (ctime) stay when the folder is moved or the host renamed, and
    are others in a copy."""
    try:
        made = (settings.state_dir / IN_USE).stat()
        mark = f"{made.st_ino:x}.{made.st_ctime_ns:x}"
    except OSError:
        mark = "none"
    return Declarer(mark, home_name(settings))


def other_home(configuration: Configuration, connection: Connection) -> Blocker | None:
    """Return what keeps this home from working with the ledger: another home has declared its videos, and more than
    half of them are not in this catalogue. None while the files have a mistake, because nothing is declared then."""
    catalogue, last = configuration.catalogue, catalog_sync.last_declared(connection)
    other = _other(configuration.settings, last)
    if last is None or other is None or configuration.problems or last.digest == catalogue.digest:
        return None
    declared = queries.video_keys(connection, _DECLARED)
    leaving = declared.difference(catalogue.videos, catalogue.renamed().values())
    if 2 * len(leaving) <= len(declared):
        return None
    settings = configuration.settings
    message = (
        f"the ledger at {shown_address(settings.ledger_url)} holds {counted(len(declared), 'video')} of the home "
        f"{other.name}, and this home, {declarer(settings).name}, has {len(declared) - len(leaving)} of them and would "
        f"withdraw the others; so it does nothing with this ledger"
    )
    return Blocker(BlockReason.LEDGER, message, _TODO)


def refuse_other_home(configuration: Configuration, connection: Connection) -> None:
    """Raise OtherHomeError if the ledger holds another home's videos."""
    if (blocker := other_home(configuration, connection)) is not None:
        raise OtherHomeError(blocker)


def take_over(settings: Settings, ledger: Ledger, *, who: str, why: str, now_ms: int) -> str:
    """Make this home the one whose videos the ledger holds, by the operator's decision, which is recorded in it. Return
    the name of the home before; empty if it was this one."""
    with ledger.read() as connection:
        other = _other(settings, catalog_sync.last_declared(connection))
    if other is None:
        return ""
    with ledger.write(now_ms=now_ms, actor=who) as tx:
        tx.append("ledger_accepted", data={"kind": "other_home", "why": why, "declared_by": other.name})
        catalog_sync.set_declarer(tx, declarer(settings))
    return other.name


def _other(settings: Settings, last: LastDeclared | None) -> Declarer | None:
    """Return the home that has declared the ledger's videos; None if it is this one or isn't known."""
    if last is None or last.home is None:
        return None
    own = declarer(settings)
    return None if own.mark == last.home.mark or own.name == last.home.name else last.home
