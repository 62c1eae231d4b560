"""The reasons why a step may not be paid for now: one ordered tuple of rules. The plan evaluates them with the numbers
that it has read, the claim with those of its own transaction.

To add a reason that plan and claim share: a member of BlockReason, a rule, its place in RULES, and its text in
`engine/plan/budget.py`. A reason that the plan alone evaluates has no rule here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import Final, Self

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, is_ahead, still_waits


class _Ends(Enum):
    """How a reason ends: without an operator; without one, but only when another attempt of the account ends; or when
    an operator acts."""

    AUTOMATICALLY = "automatically"
    AFTER_OTHER_ATTEMPTS = "after other attempts"
    BY_OPERATOR = "by an operator"


class BlockReason(StrEnum):
    """Why a video does not continue now. The values are stored in the ledger, so a member may be renamed and its value
    stays."""

    _value_: str
    ends: _Ends

    def __new__(cls, value: str, ends: _Ends = _Ends.BY_OPERATOR) -> Self:
        """Create a member from its stored value and how it ends."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.ends = ends
        return member

    SOURCE_UNCHECKED = "source_unchecked", _Ends.AUTOMATICALLY
    PARENT = "waiting_for_parent", _Ends.AFTER_OTHER_ATTEMPTS
    SLOTS = "no_free_slot", _Ends.AFTER_OTHER_ATTEMPTS
    DAY_BUDGET = "day_budget", _Ends.AUTOMATICALLY
    BACKOFF = "backing_off", _Ends.AUTOMATICALLY
    SILENT = "no_reply", _Ends.AUTOMATICALLY
    EXPOSED = "as_much_at_stake_as_allowed", _Ends.AFTER_OTHER_ATTEMPTS
    EARLIER_TAKE = "earlier_take_running", _Ends.AUTOMATICALLY
    IN_DOUBT_CHECKING = "in_doubt_checking", _Ends.AUTOMATICALLY
    DISK_RESERVED = "disk_reserved", _Ends.AFTER_OTHER_ATTEMPTS
    CHANGED = "changed_meanwhile", _Ends.AUTOMATICALLY  # only of a claim: the next plan sees what has changed
    CONFIGURATION = "configuration"
    NO_KEY = "no_key"
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
        """Return whether the video does not continue until an operator acts."""
        return self.ends is _Ends.BY_OPERATOR

    @property
    def waits_for_others(self) -> bool:
        """Return whether it ends only when another attempt of the account has ended."""
        return self.ends is _Ends.AFTER_OTHER_ATTEMPTS

    @property
    def is_local(self) -> bool:
        """Return whether it depends on the files, the disk or the process of this moment. It is shown and never written
        into the ledger, where two machines would write their reasons over each other's in turn."""
        return self in _LOCAL


_LOCAL: Final = frozenset(
    {
        BlockReason.CONFIGURATION,
        BlockReason.DISK_RESERVED,
        BlockReason.LEDGER,
        BlockReason.MEDIA_STORE,
        BlockReason.NO_DISK_SPACE,
        BlockReason.NO_KEY,
    }
)


@dataclass(frozen=True, slots=True)
class BudgetLimits:
    """The amounts that an account may commit and expose at a time, in micro-units, and how many tasks it may have in
    flight. Exposed are the units claimed, being sent or in doubt, because a crash or an outage could leave them
    unknown. `zone` is the time zone whose days count."""

    per_day_micros: int
    total_micros: int
    max_in_flight: int
    exposure_micros: int
    zone: str = UTC_ZONE


MAX_SILENT_SUBMITS: Final = 2
"""The submits in a row that an account's provider may leave without a reply. After them nothing is sent until a query
was answered."""

REPLY_COUNTS_MS: Final = 60_000
"""For how long a reply shows that an account's provider replies, in ms."""

NO_LIMITS: Final = BudgetLimits(0, 0, 0, 0)
"""The limits of an account without a budget. They block every step, even without a rule of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTotals:
    """The spending of an account as the ledger records it, and its limits. Micro-units, UTC ms."""

    limits: BudgetLimits = NO_LIMITS
    ledger_accepted: bool = True
    everything_paused: bool = False
    paused: bool = False
    stopped_reason: str | None = None
    stopped_message: str | None = None
    held: BlockReason | None = None
    """The reason why this process can't submit for the account. A claim has none, because it gets no limits for such an
    account."""
    committed_micros: int = 0
    committed_today_micros: int = 0
    in_flight: int = 0
    backing_off_until: int | None = None
    probing: bool = False
    """Whether its last submit was refused or could not be sent. Then one probe at a time is sent until one is
    accepted."""
    has_unsent: bool = False
    silent_submits: int = 0
    """How many submits in a row are known to have no reply, since the provider last answered anything: it left them
    without one, or the process that sent them ended before it recorded one."""
    replied_at: int | None = None
    silent_queries: int = 0
    ask_at: int = 0
    """When the provider is next asked whether it replies, after it was silent."""
    in_doubt_micros: int = 0
    sending_micros: int = 0
    """Units claimed or being sent."""
    zone: str = UTC_ZONE
    other_days: tuple[str, ...] = ()
    """Days of an earlier time zone of the home that partly count for today too."""

    def with_claim(self, price_micros: int) -> AccountTotals:
        """Return the totals after a claim of one more step at this price."""
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
    """A step to pay for, its account, and the time of payment (UTC ms)."""

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
    exceeds = spending.account.committed_micros + price > limits.total_micros or price > limits.per_day_micros
    return BlockReason.TOTAL_BUDGET if exceeds else None


def _day_budget(spending: Spending) -> BlockReason | None:
    committed = spending.account.committed_today_micros + spending.price_micros
    return BlockReason.DAY_BUDGET if committed > spending.account.limits.per_day_micros else None


def _backoff(spending: Spending) -> BlockReason | None:
    until_ms = spending.account.backing_off_until
    waits = until_ms is not None and still_waits(until_ms, spending.now_ms, longest_ms=MAX_BACKOFF_MS)
    return BlockReason.BACKOFF if waits else None


def _probe(spending: Spending) -> BlockReason | None:
    return BlockReason.BACKOFF if spending.account.probing and spending.account.has_unsent else None


def _silent(spending: Spending) -> BlockReason | None:
    return BlockReason.SILENT if spending.account.silent_submits >= MAX_SILENT_SUBMITS else None


def _slots(spending: Spending) -> BlockReason | None:
    return BlockReason.SLOTS if spending.account.in_flight >= spending.account.limits.max_in_flight else None


def _exposure(spending: Spending) -> BlockReason | None:
    """Return the reason by exposure. Units being sent are free again in a moment; units in doubt may need an operator,
    unless the provider finds a task by our own key (class A)."""
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
    _silent,
    _slots,
    _exposure,
)
"""In the order of display: the first rule that blocks gives the reason."""


def block_reason(spending: Spending) -> BlockReason | None:
    """Return why the step may not be paid for now; None if no rule blocks it."""
    return next((reason for rule in RULES if (reason := rule(spending)) is not None), None)


def awaits_reply(account: AccountTotals, now_ms: int) -> bool:
    """Return whether few of an account's submits may be without a reply at a time, because it is not known to reply: a
    submit or a query was silent since it last did, or that is longer ago than `REPLY_COUNTS_MS`. The claim alone asks
    this, because what is being sent changes with every POST."""
    replied_at = account.replied_at
    is_silent = account.silent_submits or account.silent_queries
    if is_silent or replied_at is None or is_ahead(replied_at, now_ms):
        return True
    return replied_at + REPLY_COUNTS_MS <= now_ms
