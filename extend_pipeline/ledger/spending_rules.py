"""Why a step may not be paid for now: one ordered tuple of rules. The plan asks them with the numbers that it has
read, and the claim again with those of its own transaction.

To add a reason: a member of BlockReason, a rule, its place in RULES, and its text in `engine/plan/budget.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final, Self

from extend_pipeline.base.days import NO_ZONE
from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, still_waits


class _Ends(Enum):
    """How a reason ends: by itself, also when something else of the account ends; or when an operator acts, also on the
    files or the process of this moment, which is shown and never written into the ledger."""

    BY_ITSELF = "by itself"
    WITH_OTHERS = "with others"
    BY_OPERATOR = "by an operator"
    BY_OPERATOR_HERE = "by an operator, here"


class BlockReason(StrEnum):
    """Why a video doesn't go on now. The values stand in the ledger."""

    _value_: str
    ends: _Ends

    def __new__(cls, value: str, ends: _Ends = _Ends.BY_OPERATOR) -> Self:
        """Make a member from its stored value and how it ends."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.ends = ends
        return member

    SOURCE_UNCHECKED = "source_unchecked", _Ends.BY_ITSELF
    PARENT = "waiting_for_parent", _Ends.BY_ITSELF
    SLOTS = "no_free_slot", _Ends.WITH_OTHERS
    DAY_BUDGET = "day_budget", _Ends.BY_ITSELF
    BACKOFF = "backing_off", _Ends.BY_ITSELF
    EXPOSED = "as_much_at_stake_as_allowed", _Ends.WITH_OTHERS
    EARLIER_TAKE = "earlier_take_running", _Ends.BY_ITSELF
    IN_DOUBT_CHECKING = "in_doubt_checking", _Ends.BY_ITSELF
    DISK_RESERVED = "disk_reserved", _Ends.WITH_OTHERS
    CHANGED = "changed_meanwhile", _Ends.BY_ITSELF  # only of a claim: the next plan sees what has changed
    CONFIGURATION = "configuration", _Ends.BY_OPERATOR_HERE
    NO_KEY = "no_key", _Ends.BY_OPERATOR_HERE
    LEDGER = "ledger_not_accepted"
    REPURCHASE = "repurchase"
    SAME_PURCHASE = "same_purchase"
    PAUSED = "paused"
    ACCOUNT_STOPPED = "account_stopped"
    WRONG_CLOCK = "wrong_clock"
    NO_DISK_SPACE = "no_disk_space"
    TOTAL_BUDGET = "total_budget"
    IN_DOUBT_CAP = "in_doubt_cap"
    NO_BUDGET = "no_budget"
    MEDIA_STORE = "media_store"
    NO_PRICE = "no_price"
    SOURCE_EXPIRED = "source_expired"
    SOURCE_LENGTH = "source_length"
    UNKNOWN_LENGTH = "unknown_length"
    UNREACHABLE_SOURCE = "unreachable_source"
    LENGTH_CAP = "length_cap"
    AT_MOST = "at_most"
    REJECTED = "rejected"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    OVERDUE = "overdue"
    NOT_FETCHED = "not_fetched"
    RESULT_LOST = "result_lost"
    QUARANTINED = "quarantined"
    WRITTEN_OFF = "written_off"
    NOT_EXTENDABLE = "not_extendable"
    UNKNOWN_KIND = "unknown_kind"
    FILM_GONE = "film_gone"
    PARENT_BLOCKED = "parent_blocked"

    @property
    def needs_person(self) -> bool:
        """Return whether nothing happens until an operator acts."""
        return self.ends in (_Ends.BY_OPERATOR, _Ends.BY_OPERATOR_HERE)

    @property
    def waits_for_others(self) -> bool:
        """Return whether it ends only when something else of the account has ended."""
        return self.ends is _Ends.WITH_OTHERS

    @property
    def is_local(self) -> bool:
        """Return whether it is a matter of the files or the process of this moment: shown, never written into the
        ledger."""
        return self.ends is _Ends.BY_OPERATOR_HERE


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """What an account may commit, in micro-units, how much of it may be exposed at a time, and how many tasks it may
    have in flight. Exposed is what is claimed, being sent or in doubt: what a crash or an outage could leave unknown.
    `zone` is the time zone whose days count.
    """

    per_day_micros: int
    total_micros: int
    max_in_flight: int
    exposure_micros: int
    zone: str = NO_ZONE


NO_LIMITS: Final = BudgetLimits(0, 0, 0, 0)
"""The limits of an account without a budget. They let nothing pass, even without a rule of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTotals:
    """What the ledger knows of an account's spending, and what it may spend. Micro-units, UTC ms."""

    limits: BudgetLimits = NO_LIMITS
    ledger_accepted: bool = True
    everything_paused: bool = False
    paused: bool = False
    stopped_reason: str | None = None
    stopped_message: str | None = None
    held: BlockReason | None = None
    """What keeps this process from submitting for the account. A claim has none: it gets no limits for such an
    account."""
    committed_micros: int = 0
    committed_today_micros: int = 0
    in_flight: int = 0
    backing_off_until: int | None = None
    probing: bool = False
    """Whether its last submit was refused or could not be sent: one probe at a time until one goes through again."""
    has_unsent: bool = False
    in_doubt_micros: int = 0
    sending_micros: int = 0
    """What is claimed or being sent."""
    zone: str = NO_ZONE
    other_days: tuple[str, ...] = ()
    """Days of a time zone that the home had before, of which something counts for today too."""

    def with_claim(self, price_micros: int) -> AccountTotals:
        """Return the totals as they will be once a step at this price is claimed too."""
        return replace(
            self,
            committed_micros=self.committed_micros + price_micros,
            committed_today_micros=self.committed_today_micros + price_micros,
            in_flight=self.in_flight + 1,
            has_unsent=True,
            sending_micros=self.sending_micros + price_micros,
        )


@dataclass(frozen=True, slots=True)
class Spending:
    """A step that is to be paid for, and the account and time (UTC ms) at which it is to be."""

    price_micros: int
    submit_class: str
    account: AccountTotals
    now_ms: int


Rule = Callable[[Spending], BlockReason | None]


def _ledger(spending: Spending) -> BlockReason | None:
    return None if spending.account.ledger_accepted else BlockReason.LEDGER


def _paused(spending: Spending) -> BlockReason | None:
    return BlockReason.PAUSED if spending.account.everything_paused or spending.account.paused else None


def _stopped(spending: Spending) -> BlockReason | None:
    return BlockReason.ACCOUNT_STOPPED if spending.account.stopped_reason is not None else None


def _held(spending: Spending) -> BlockReason | None:
    return spending.account.held


def _no_budget(spending: Spending) -> BlockReason | None:
    return BlockReason.NO_BUDGET if spending.account.limits == NO_LIMITS else None


def _total_budget(spending: Spending) -> BlockReason | None:
    limits, price = spending.account.limits, spending.price_micros
    # a step above a day's budget fits on no day
    passes = spending.account.committed_micros + price > limits.total_micros or price > limits.per_day_micros
    return BlockReason.TOTAL_BUDGET if passes else None


def _day_budget(spending: Spending) -> BlockReason | None:
    committed = spending.account.committed_today_micros + spending.price_micros
    return BlockReason.DAY_BUDGET if committed > spending.account.limits.per_day_micros else None


def _backoff(spending: Spending) -> BlockReason | None:
    until_ms = spending.account.backing_off_until
    waits = until_ms is not None and still_waits(until_ms, spending.now_ms, longest_ms=MAX_BACKOFF_MS)
    return BlockReason.BACKOFF if waits else None


def _probe(spending: Spending) -> BlockReason | None:
    return BlockReason.BACKOFF if spending.account.probing and spending.account.has_unsent else None


def _slots(spending: Spending) -> BlockReason | None:
    return BlockReason.SLOTS if spending.account.in_flight >= spending.account.limits.max_in_flight else None


def _exposure(spending: Spending) -> BlockReason | None:
    """Return what is being sent is over in a moment; what is in doubt may need an operator, unless its own key finds
    it."""
    account, price, cap = spending.account, spending.price_micros, spending.account.limits.exposure_micros
    if price > cap:
        return BlockReason.IN_DOUBT_CAP
    if account.in_doubt_micros + price > cap:
        return BlockReason.EXPOSED if spending.submit_class == "A" else BlockReason.IN_DOUBT_CAP
    if account.in_doubt_micros + account.sending_micros + price > cap:
        return BlockReason.EXPOSED
    return None


RULES: Final[tuple[Rule, ...]] = (
    _ledger,
    _paused,
    _stopped,
    _held,
    _no_budget,
    _total_budget,
    _day_budget,
    _backoff,
    _probe,
    _slots,
    _exposure,
)
"""In the order in which a person is told: the first that blocks is the reason."""


def block_reason(spending: Spending) -> BlockReason | None:
    """Return why the step may not be paid for now; None where every rule lets it pass."""
    return next((reason for rule in RULES if (reason := rule(spending)) is not None), None)
