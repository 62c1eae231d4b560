"""Claims: one transaction that takes extensions and reserves their units within every limit, before any request is
sent.

Many videos may be claimed in one transaction, because the cost is per commit. The claim checks again what another
process may have changed since the plan, because no other process can write meanwhile: the spending rules with this
transaction's numbers, the live attempt, the attempt that the plan saw last, the same purchase, and whether the video is
still declared. The age of a source, lengths, prices and disk space are checked by the plan alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import bindparam, func, select

from extend_pipeline.base.days import day_of
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.account_totals import account_totals
from extend_pipeline.ledger.read.queries import chunks
from extend_pipeline.ledger.spending_rules import (
    AccountTotals,
    BlockReason,
    BudgetLimits,
    Spending,
    awaits_reply,
    block_reason,
)
from extend_pipeline.ledger.states import LIVE, AttemptState, VideoState
from extend_pipeline.ledger.write.renames_and_choices import Choice, bought, choose


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRequest:
    """An extension that a plan found due.

    `last_attempt_id` is the newest attempt of this step that the plan saw; `tries_seen` is how many attempts of the hop
    it saw with any parameters (None: not counted). If it `must_be_declared`, it is not claimed once its video has
    another key or has left the catalogue. `purchase` is the purchase digest: unless it `buys_again` (`again: true` in
    the catalogue), the step is not claimed if another video has bought the same, except through one of the
    `other_upstreams` (accounts at another system). `choices` are the edited steps before it for which paid steps stand.
    """

    attempt_id: str
    video_key: str
    hop: int
    generation: int
    try_no: int
    chain_digest: str
    account: str
    provider: str
    submit_class: str
    external_task_id: str
    root_video_id: str | None
    parent_attempt_id: str | None
    parent_video_id: str
    parent_duration_ms: int | None
    params: str
    request: str
    mode: str | None
    unit: str
    predicted_micros: int
    unit_price_micros: int
    currency: str
    failed_tasks_charged: str
    last_attempt_id: str | None
    tries_seen: int | None = None
    must_be_declared: bool = False
    callback_digest: str | None = None
    purchase: str | None = None
    buys_again: bool = False
    other_upstreams: frozenset[str] = frozenset()
    choices: tuple[Choice, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return the columns that the event carries."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in _NOT_IN_THE_EVENT}


_NOT_IN_THE_EVENT: Final = frozenset(
    {"attempt_id", "video_key", "account", "last_attempt_id", "tries_seen", "must_be_declared"}
    | {"purchase", "buys_again", "other_upstreams", "choices"}
)
"""Fields that the event has a column for, or that are only read while the step is claimed."""


@dataclass(frozen=True, slots=True)
class ClaimRefused:
    """This extension was not claimed."""

    request: ClaimRequest
    reason: BlockReason


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """The result of one claim transaction."""

    claimed: tuple[ClaimRequest, ...]
    refused: tuple[ClaimRefused, ...]


def claim(
    tx: LedgerTransaction,
    requests: Sequence[ClaimRequest],
    *,
    caps: Mapping[str, BudgetLimits],
    owner: str,
    lease_until: int,
    ledger_accepted: bool = True,
    max_unanswered: int | None = None,
) -> ClaimResult:
    """Claim the requests that no rule blocks; none if the home does not know this ledger (`ledger_accepted`).
    `lease_until` is UTC ms. `max_unanswered` submits of an account may be without a reply while it isn't known to reply
    (None: not checked). Raises KeyError if an account has no limits in `caps`, because without a budget nothing is
    spent."""
    claimed: list[ClaimRequest] = []
    refused: list[ClaimRefused] = []
    seen = _read(tx, requests, caps, ledger_accepted=ledger_accepted, max_unanswered=max_unanswered)
    for request in requests:
        limits = caps[request.account]
        reason = _block_reason(seen, request, tx.now_ms)
        if reason is not None:
            refused.append(ClaimRefused(request, reason))
            continue
        tx.append(
            "attempt_claimed",
            attempt_id=request.attempt_id,
            video_key=request.video_key,
            account=request.account,
            data={
                **request.row(),
                "budget_day": day_of(tx.now_ms, limits.zone),
                "owner": owner,
                "lease_until": lease_until,
            },
        )
        choose(tx, request.video_key, request.choices, why="its chain continues from a paid step")
        seen.add(request)
        claimed.append(request)
    return ClaimResult(tuple(claimed), tuple(refused))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the transaction has read for its requests, kept up with each claim that it makes: totals by account, tries
    (ID, chain digest, state) by video and hop with the newest first, the declared videos, and buyers (video, account)
    by purchase. `may_send` has the accounts that are not known to reply, and to how many submits more of each a reply
    may be awaited."""

    totals: dict[str, AccountTotals]
    tries: dict[tuple[str, int], list[tuple[str, str, AttemptState]]]
    declared: frozenset[str]
    buyers: dict[str, list[tuple[str, str]]]
    may_send: dict[str, int]

    def add(self, request: ClaimRequest) -> None:
        """Count a claim that was made."""
        self.totals[request.account] = self.totals[request.account].with_claim(request.predicted_micros)
        this = (request.attempt_id, request.chain_digest, AttemptState.CLAIMED)
        self.tries.setdefault((request.video_key, request.hop), []).insert(0, this)
        if request.purchase is not None:
            self.buyers.setdefault(request.purchase, []).append((request.video_key, request.account))
        if request.account in self.may_send:
            self.may_send[request.account] -= 1


_TRIES: Final = (
    select(*(tables.attempts.c[name] for name in ("video_key", "hop", "attempt_id", "chain_digest", "state")))
    .where(tables.attempts.c.video_key.in_(bindparam("keys", expanding=True)))
    .order_by(tables.attempts.c.generation.desc(), tables.attempts.c.try_no.desc())
)
_DECLARED: Final = select(tables.videos.c.video_key).where(
    tables.videos.c.video_key.in_(bindparam("keys", expanding=True)),
    tables.videos.c.state != VideoState.WITHDRAWN.value,
)


def _totals(tx: LedgerTransaction, account: str, limits: BudgetLimits, *, ledger_accepted: bool) -> AccountTotals:
    """Return an account's totals as this transaction finds them. They are read once, because no other process writes
    before its end; what it claims itself is added."""
    totals = account_totals(tx.connection, [account], tx.now_ms, zone=limits.zone)[account]
    return replace(totals, limits=limits, ledger_accepted=ledger_accepted)


def _read(
    tx: LedgerTransaction,
    requests: Sequence[ClaimRequest],
    caps: Mapping[str, BudgetLimits],
    *,
    ledger_accepted: bool,
    max_unanswered: int | None,
) -> _Seen:
    """Read all that the requests are checked against, by a few statements however many requests there are."""
    connection = tx.connection
    names = dict.fromkeys(request.account for request in requests)
    totals = {name: _totals(tx, name, caps[name], ledger_accepted=ledger_accepted) for name in names}
    keys = [request.video_key for request in requests]
    tries: dict[tuple[str, int], list[tuple[str, str, AttemptState]]] = {}
    declared: set[str] = set()
    for part in chunks(keys):
        for row in connection.execute(_TRIES, {"keys": part}):
            one = (row.attempt_id, row.chain_digest, AttemptState(row.state))
            tries.setdefault((row.video_key, row.hop), []).append(one)
        declared.update(connection.execute(_DECLARED, {"keys": part}).scalars())
    buyers: dict[str, list[tuple[str, str]]] = {}
    purchases = [request.purchase for request in requests if request.purchase is not None and not request.buys_again]
    for bought_step in bought(connection, purchases):
        buyers.setdefault(bought_step.purchase, []).append((bought_step.video_key, bought_step.account))
    may_send = {} if max_unanswered is None else _may_send(tx, totals, max_unanswered)
    return _Seen(totals, tries, frozenset(declared), buyers, may_send)


def _may_send(tx: LedgerTransaction, totals: Mapping[str, AccountTotals], max_unanswered: int) -> dict[str, int]:
    """Return how many submits more each account that is not known to reply may be sent."""
    unproven = {name: account for name, account in totals.items() if awaits_reply(account, tx.now_ms)}
    if not unproven:
        return {}
    table, states = tables.attempts, (AttemptState.CLAIMED.value, AttemptState.SENDING.value)
    counted = select(table.c.account, func.count().label("attempts")).where(table.c.state.in_(states))
    sent = {row.account: row.attempts for row in tx.connection.execute(counted.group_by(table.c.account))}
    return {name: max_unanswered - account.silent_submits - sent.get(name, 0) for name, account in unproven.items()}


def _block_reason(seen: _Seen, request: ClaimRequest, now_ms: int) -> BlockReason | None:
    spending = Spending(request.predicted_micros, request.submit_class, seen.totals[request.account], now_ms)
    if (reason := block_reason(spending)) is not None:
        return reason
    if seen.may_send.get(request.account, 1) <= 0:
        return BlockReason.SILENT
    if _tried_meanwhile(seen, request) or (request.must_be_declared and request.video_key not in seen.declared):
        return BlockReason.CHANGED
    if not request.buys_again and _bought_by_another(seen, request):
        return BlockReason.SAME_PURCHASE
    return None


def _tried_meanwhile(seen: _Seen, request: ClaimRequest) -> bool:
    """Return whether the hop has a live attempt, or one that the plan did not see, also with the parameters before or
    after an edit."""
    tries = seen.tries.get((request.video_key, request.hop), [])
    last = next((attempt_id for attempt_id, digest, _ in tries if digest == request.chain_digest), None)
    if last != request.last_attempt_id or any(state in LIVE for _, _, state in tries):
        return True
    return request.tries_seen is not None and request.tries_seen != len(tries)


def _bought_by_another(seen: _Seen, request: ClaimRequest) -> bool:
    """Return whether another video, or this one with another account, has made the same purchase, or may have."""
    return any(
        buyer != (request.video_key, request.account) and buyer[1] not in request.other_upstreams
        for buyer in seen.buyers.get(request.purchase or "", [])
    )
