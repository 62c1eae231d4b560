"""Decision whether the opened ledger is the one that this home remembers. Pure: `ledger_look.py` reads the facts."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from extend_pipeline.base.units import from_micros
from extend_pipeline.base.wording import counted
from extend_pipeline.engine.guards.ledger_memory import Memory, Unreadable
from extend_pipeline.engine.plan.model import Blocker
from extend_pipeline.ledger.identity import Identity, Standing
from extend_pipeline.ledger.spending_rules import BlockReason


class Kind(StrEnum):
    """The relation of the opened ledger to this home."""

    # these need no acceptance
    FIRST_HOME = "first_home"
    KNOWN_HISTORY = "known_history"
    """The ledger has a history and the home no memory: a home of an earlier version, or a second home on one server."""
    SAME = "same"
    MOVED_HERE = "moved_here"
    """The ledger is a copy, made by `ledger copy`, of the one that the home remembers."""
    NOTHING_BOUGHT = "nothing_bought"
    """It is another ledger, and nothing was ever bought with the remembered one."""
    # these wait for `extend-pipeline ledger accept`
    NEW = "new"
    OTHER = "other"
    BEHIND = "behind"
    DIVERGED = "diverged"
    COPIED_HOME = "copied_home"
    UNREADABLE_MEMORY = "unreadable_memory"
    # these take no writes at all
    SEALED = "sealed"
    UNFINISHED_COPY = "unfinished_copy"

    @property
    def may_spend(self) -> bool:
        """Return whether steps may be bought without the operator's acceptance."""
        return self in _KNOWN

    @property
    def can_be_accepted(self) -> bool:
        """Return whether the operator's acceptance is all that is missing."""
        return not self.may_spend and self not in (Kind.SEALED, Kind.UNFINISHED_COPY)


_KNOWN = frozenset({Kind.FIRST_HOME, Kind.KNOWN_HISTORY, Kind.SAME, Kind.MOVED_HERE, Kind.NOTHING_BOUGHT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts about the opened ledger and the home.

    `address` is the text for the operator. `event` is the digest of the event whose number the home remembers.
    `unknown_films` is the number of films in the media store without an attempt, `published_seq` the last event in the
    warehouse file; both are read only without a memory. `anchor` is the current ctime (ns) of the home's anchor, None
    when the file is missing.
    """

    address: str
    head: Identity
    event: str
    bought: bool
    committed: Mapping[str, int]
    on_server: bool
    anchor: int | None
    home: str
    unknown_films: int = 0
    published_seq: int = 0


@dataclass(frozen=True, slots=True)
class LedgerVerdict:
    """The verdict on the opened ledger, with texts for the operator when it may not spend."""

    kind: Kind
    message: str = ""
    todo: str = ""

    @property
    def may_spend(self) -> bool:
        """Return whether steps may be bought without the operator's acceptance."""
        return self.kind.may_spend

    def describe(self) -> str:
        """Return what is wrong with it, and what to do, in a line."""
        return f"{self.message} → {self.todo}"

    def blocker(self) -> Blocker | None:
        """Return the blocker for plans; None when the ledger is the right one."""
        return None if self.may_spend else Blocker(BlockReason.LEDGER, self.message, self.todo)


def decide(memory: Memory | Unreadable | None, facts: Facts) -> LedgerVerdict:
    """Return the verdict on a ledger for a home with this memory."""
    kind = _kind(memory, facts)
    if kind.may_spend:
        return LedgerVerdict(kind)
    if not kind.can_be_accepted:
        todo = "set EXTEND_PIPELINE_LEDGER_URL as it says; reading commands work as before"
        return LedgerVerdict(kind, f"the ledger at {facts.address} {facts.head.why_not_open()}", todo)
    state = f"the ledger at {facts.address} has {counted(facts.head.seq, 'event')}, {_money(facts.committed)} committed"
    return LedgerVerdict(
        kind,
        f"{_sentence(kind, memory, facts)}; {state}; nothing is submitted, so that nothing is paid for twice",
        "set EXTEND_PIPELINE_LEDGER_URL to the right ledger or put it back, or, if this is the one to continue with: "
        "extend-pipeline ledger accept",
    )


def _kind(memory: Memory | Unreadable | None, facts: Facts) -> Kind:
    head = facts.head
    if head.standing is Standing.SEALED:
        return Kind.SEALED
    if head.standing is Standing.INCOMING:
        return Kind.UNFINISHED_COPY
    if isinstance(memory, Unreadable):
        return Kind.UNREADABLE_MEMORY
    if memory is None:
        if facts.unknown_films or facts.published_seq > head.seq:
            return Kind.BEHIND if facts.bought else Kind.NEW
        return Kind.KNOWN_HISTORY if facts.bought else Kind.FIRST_HOME
    if head.ledger_id == memory.ledger_id:
        return _same_or_not(memory, facts)
    if head.origin_id == memory.ledger_id and (head.origin_seq or 0) >= memory.seq:
        return Kind.MOVED_HERE
    if not memory.bought:
        return Kind.NOTHING_BOUGHT
    return Kind.OTHER if facts.bought else Kind.NEW


def _same_or_not(memory: Memory, facts: Facts) -> Kind:
    if facts.head.seq < memory.seq or facts.event != memory.event:
        if not memory.bought:
            return Kind.NOTHING_BOUGHT
        return Kind.BEHIND if facts.head.seq < memory.seq else Kind.DIVERGED
    # several homes may share a ledger on a server, but a ledger in a file is copied together with its home
    if not facts.on_server and memory.anchor is not None and facts.anchor != memory.anchor:
        return Kind.COPIED_HOME
    return Kind.SAME


def _sentence(kind: Kind, memory: Memory | Unreadable | None, facts: Facts) -> str:
    if isinstance(memory, Unreadable):
        return f"what this home remembers of its ledger can't be read ({memory.reason})"
    if memory is None:
        signs = []
        if facts.unknown_films:
            signs.append(f"{counted(facts.unknown_films, 'film')} in the media store that no attempt knows")
        if facts.published_seq > facts.head.seq:
            signs.append(f"a warehouse file that goes up to event {facts.published_seq}")
        return f"this home has {' and '.join(signs)}"
    known = f"this home last worked with event {memory.seq} and {_money(memory.committed)} committed"
    match kind:
        case Kind.NEW:
            return f"{known}, and this ledger is a new one, without any attempt"
        case Kind.OTHER:
            return f"{known}, and this is another ledger"
        case Kind.BEHIND:
            return f"{known}, and this is an older state of that ledger, as of a backup that was put back"
        case Kind.DIVERGED:
            return f"{known}, and this copy of that ledger has gone another way since"
        case _:
            return (
                f"{known} as {memory.home}, and {facts.home} is a copy of that home or was put back from a backup "
                "(or its files' rights were changed); if the other one continues too, both pay"
            )


def _money(committed: Mapping[str, int]) -> str:
    parts = [
        f"{counted(from_micros(micros), 'unit')} with {name}" for name, micros in sorted(committed.items()) if micros
    ]
    return ", ".join(parts) or "nothing"
