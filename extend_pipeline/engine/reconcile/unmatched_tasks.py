"""Tasks that a provider's book shows and no attempt holds: whose they may be, and which of them are taken over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.config.model.price import Price
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.inputs import chain_names
from extend_pipeline.engine.reconcile.compare import StatementLine
from extend_pipeline.engine.reconcile.statements import CLOCKS_MS, DAY_MS
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.reconciliation_queries import Candidate, TaskOwner
from extend_pipeline.ledger.states import EXPOSED, AttemptState
from extend_pipeline.ledger.write import reconciliation, transitions
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict, UnmatchedTask
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome, TaskView
from extend_pipeline.providers.registry import spec_of

S = AttemptState

OTHERS_NOTE: Final = "nothing here has its key or its film: somebody else's"
MAX_ADOPTED: Final = 100  # a comparison; more are somebody else's use of the account rather than our lost answers


@dataclass(frozen=True, slots=True)
class MatchContext:
    """What a decision about an account's strangers looks at, as it is in the transaction that writes it down."""

    account: Account
    source: str
    first_claim_ms: int
    accepted: frozenset[str]
    may_be: Sequence[Candidate]
    elsewhere: Mapping[str, TaskOwner]
    catalogue: Mapping[str, Video]
    sources: Mapping[str, str]
    """Videos of the catalogue by what their provider calls their source."""
    to_come: Mapping[str, str]
    """Steps of the catalogue by those of the strangers' keys that are theirs, see own_keys."""
    names: chain.Names
    films: frozenset[str]
    """Those of the strangers' parents that are a result or a source of this home."""
    asked: Mapping[str, str]
    """Tasks that another book of the account has an open question about, with that book."""
    zone: str
    """The time zone whose day a task counts for."""


@dataclass(frozen=True, slots=True)
class ResolvedUnmatched:
    """What is told of each stranger by task, which were adopted, and which merely count, since nothing proves whose
    they are: these are looked at again by the next comparison."""

    told: Mapping[str, ReconciliationItem]
    adopted: tuple[str, ...]
    counted: frozenset[str]


def match_context(
    connection: Connection,
    pipeline: Pipeline,
    account: Account,
    source: str,
    accepted: frozenset[str],
    views: Mapping[str, QueryOutcome],
    to_come: Mapping[str, str],
) -> MatchContext:
    """Read it: whatever a process has claimed, sent or found since the book was read counts too."""
    keys = keys_of(views)
    videos = pipeline.configuration.catalogue.videos
    sources = {video.source.source_id: key for key, video in videos.items() if hasattr(video.source, "source_id")}
    may_be = reconciliation_queries.candidates_for(
        connection, account.name, keys=keys, states=(*EXPOSED, S.WRITTEN_OFF)
    )
    parents = {answer.view.parent_video_id or "" for answer in views.values() if isinstance(answer, Found)} - {""}
    known = reconciliation_queries.known_films(connection, account.provider, parents)
    return MatchContext(
        account,
        source,
        reconciliation_queries.first_claim(connection, account.name) or pipeline.now_ms(),
        accepted,
        may_be,
        reconciliation_queries.holders_elsewhere(connection, account.name, account.provider, list(views)),
        videos,
        sources,
        to_come,
        chain_names(pipeline, connection, {candidate.attempt.video_key for candidate in may_be}),
        frozenset(parent for parent in parents if parent in known or parent in sources),
        reconciliation_queries.open_on_other_statements(connection, account.name, source),
        pipeline.configuration.timezone,
    )


def keys_of(views: Mapping[str, QueryOutcome]) -> set[str]:
    """Return the keys that some tasks carry."""
    return {answer.view.external_task_id or "" for answer in views.values() if isinstance(answer, Found)} - {""}


def proved_others(now: MatchContext, views: Mapping[str, QueryOutcome]) -> frozenset[str]:
    """Return the tasks that are somebody else's by their own words: made from a film that this home doesn't know, and
    without a key of ours. Empty where the account is this home's alone, or every task is to be asked about."""
    if now.account.adopt_orphans in ("all", "ask"):
        return frozenset()
    ours = {candidate.attempt.external_task_id for candidate in now.may_be} | now.to_come.keys()
    return frozenset(
        task_id
        for task_id, answer in views.items()
        if isinstance(answer, Found)
        and answer.view.external_task_id not in ours
        and answer.view.parent_video_id
        and answer.view.parent_video_id not in now.films
        and task_id not in now.accepted
    )


def resolve_unmatched(
    tx: LedgerTransaction,
    now: MatchContext,
    strangers: Sequence[tuple[StatementLine, ReconciliationItem]],
    views: Mapping[str, QueryOutcome],
    *,
    adopt: bool,
) -> ResolvedUnmatched:
    """Decide about each stranger."""
    told: dict[str, ReconciliationItem] = {}
    adopted: list[str] = []
    counted: set[str] = set()
    for shown, mine in strangers:
        if shown.task_id in now.accepted:
            told[shown.task_id] = replace(
                mine, verdict=ReconciliationVerdict.ACCEPTED, note="a person has let it be in another book"
            )
            continue
        match views.get(shown.task_id):
            case None:
                note = "not looked at yet, there are too many; run it again"
                shared = now.account.adopt_orphans in ("own", "none")  # most of them are somebody else's
                told[shown.task_id] = replace(
                    mine, verdict=ReconciliationVerdict.OPEN if shared else mine.verdict, note=note
                )
            case NotFound() if now.source == "billing":
                told[shown.task_id] = replace(
                    mine, verdict=ReconciliationVerdict.OTHER, note="billed, and no extension"
                )
            case NotFound(answer):
                note = f"the provider billed it and knows it no more: {answer.message}"
                told[shown.task_id] = replace(mine, note=note)
            case QueryFailed(_, answer):
                told[shown.task_id] = replace(mine, note=f"it could not be looked at: {answer.message}; run it again")
            case Found(view):
                enough = len(adopted) >= MAX_ADOPTED
                decided = _decide(tx, now, shown, view, mine, adopt=adopt, enough=enough)
                told[shown.task_id] = decided or replace(mine, verdict=ReconciliationVerdict.OTHER, note=OTHERS_NOTE)
                adopted += [shown.task_id] * (decided is not None and decided.attempt_id is not None)
                counted |= {shown.task_id} if decided is None else set()
    return ResolvedUnmatched(told, tuple(adopted), frozenset(counted))


def _decide(
    tx: LedgerTransaction,
    now: MatchContext,
    shown: StatementLine,
    view: TaskView,
    mine: ReconciliationItem,
    *,
    adopt: bool,
    enough: bool,
) -> ReconciliationItem | None:
    """Return what is told of a task; None where nothing proves whose it is, and the account is not this home's
    alone."""
    keyed = _keyed(now, view)
    left = _left_alone(tx, now, shown, view, mine, keyed)
    if left is not None:
        return left
    given_up = _given_up(keyed, now, view)
    if view.parent_video_id is None and not spec_of(now.account.provider).reports_parent:
        return _unproven(mine, now, given_up, shown)
    ours = _why_ours(now, view, keyed, given_up)
    policy = now.account.adopt_orphans
    if not ours and policy in ("own", "none"):
        return None
    if policy == "all" or (policy == "own" and keyed):
        if adopt and not enough:
            return _adopt(tx, now, shown, view, mine, keyed, given_up)
        why = f"{MAX_ADOPTED} at a time are enough; run it again" if adopt else "adopting is off"
        booked = None if given_up is None else f"; it is {given_up.where}, which was written off and booked"
        return replace(mine, note=f"not taken over: {why}{booked or ''}")
    if (book := now.asked.get(shown.task_id)) is not None:
        return replace(mine, verdict=ReconciliationVerdict.OPEN, note=f"it is asked about in the {book} already")
    name, task = now.account.name, shown.task_id
    yes, no = f"reconcile {name} --adopt {task}", f"reconcile {name} --accept {now.source}/{task}"
    why = ours or "nothing here has its key or its film"
    return replace(mine, note=f"{why}; if it is yours: extend-pipeline {yes}; if not: extend-pipeline {no}")


def adopt_by_word(tx: LedgerTransaction, now: MatchContext, view: TaskView) -> ReconciliationItem:
    """Adopt one task because a person says that it is ours; what speaks against it is the note of what is returned,
    which has no attempt then."""
    shown = StatementLine(view.task_id, view.units_micros)
    mine = ReconciliationItem(
        task_id=view.task_id,
        verdict=ReconciliationVerdict.UPSTREAM_ONLY,
        attempt_id=None,
        unit=now.account.price.unit,
        ledger_micros=None,
        upstream_micros=view.units_micros,
    )
    keyed = _keyed(now, view)
    left = _left_alone(tx, now, shown, view, mine, keyed)
    return left or _adopt(tx, now, shown, view, mine, keyed, _given_up(keyed, now, view))


def _keyed(now: MatchContext, view: TaskView) -> list[AttemptRow]:
    """Return the attempts that have the task's key, oldest claim first."""
    if not view.external_task_id:
        return []
    attempts = (candidate.attempt for candidate in now.may_be)
    return [attempt for attempt in attempts if attempt.external_task_id == view.external_task_id]


def _left_alone(
    tx: LedgerTransaction,
    now: MatchContext,
    shown: StatementLine,
    view: TaskView,
    mine: ReconciliationItem,
    keyed: Sequence[AttemptRow],
) -> ReconciliationItem | None:
    """Return what is told of a task that is none of this home's, or that something else here will come to by itself or
    by a person's word; None where it may be adopted."""
    if not keyed and (nobodys := _unrelated_reason(now, shown, view)) is not None:
        return replace(mine, verdict=ReconciliationVerdict.OTHER, note=nobodys)
    if (live := next((row for row in keyed if row.state in EXPOSED), None)) is not None:
        return replace(mine, verdict=ReconciliationVerdict.OPEN, note=_looked_up(tx, now, live))
    if keyed and all(row.state in (S.RELEASED, S.REJECTED) for row in keyed) and _is_tried_again(now, keyed):
        where = keyed[-1].where
        note = f"it carries the key of {where}, which was held to be free; the next try of {where} finds it"
        return replace(mine, note=note)
    if not keyed and (step := now.to_come.get(view.external_task_id or "")) is not None:
        note = f"it carries the key of {step}, which this ledger has not asked for yet; its next try finds it"
        return replace(mine, note=f"{note}, and pays nothing: extend-pipeline advance")
    if not view.external_task_id and (possible := _possible(now, view)):
        return replace(mine, verdict=possible[0], note=possible[1].replace("TASK", shown.task_id))
    return None


def _why_ours(now: MatchContext, view: TaskView, keyed: Sequence[AttemptRow], given_up: AttemptRow | None) -> str:
    """Say why a task may be this home's; empty where nothing tells that."""
    if keyed:
        return f"it carries the key of {keyed[-1].where}"
    if given_up is not None:
        return f"it may be {given_up.where}, which was written off and booked"
    if view.parent_video_id in now.films:
        named = now.sources.get(view.parent_video_id or "")
        return f"it extends {f'the source of {named}' if named else f'film {view.parent_video_id} of this home'}"
    return ""


def _adopt(
    tx: LedgerTransaction,
    now: MatchContext,
    shown: StatementLine,
    view: TaskView,
    mine: ReconciliationItem,
    keyed: Sequence[AttemptRow],
    given_up: AttemptRow | None,
) -> ReconciliationItem:
    moved = reconciliation.adopt_unmatched(tx, _orphan(now.account, shown, view, now.zone))
    if not isinstance(moved, Moved):
        return replace(mine, verdict=ReconciliationVerdict.OPEN, note="an attempt has come to hold it meanwhile")
    key = reconciliation.adopted_key(now.account.name, shown.task_id)
    note = f"taken over as {key}: booked, and fetched like any"
    if given_up is not None:
        reconciliation.book_billed(tx, given_up.attempt_id, micros=0)
        note = f"{note}; it is {given_up.where}, which was written off, and whose charge is now booked here"
    elif keyed:
        held = next(row for row in reversed(keyed) if row.task_id) if any(row.task_id for row in keyed) else None
        if held is not None:
            note = f"{note}; {held.where} is task {held.task_id} with the same key, so that step was paid twice"
    return replace(mine, attempt_id=moved.attempt_id, note=note)


def _unrelated_reason(now: MatchContext, shown: StatementLine, view: TaskView) -> str | None:
    """Return why a task that the account shows is none of this home's business."""
    if (owner := now.elsewhere.get(shown.task_id)) is not None:
        return f"account {owner.account} holds it as {owner.where}"
    if (video := now.sources.get(shown.task_id)) is not None:
        return f"it is the source of {video}"
    if view.created_ms is not None and view.created_ms < now.first_claim_ms - CLOCKS_MS:
        return "made before the account's first claim"
    return None


def _looked_up(tx: LedgerTransaction, now: MatchContext, row: AttemptRow) -> str:
    if row.state is not S.IN_DOUBT:
        return f"it carries the key of {row.where}, which is being sent"
    transitions.schedule(tx, row.attempt_id, account=now.account.name, due_at=tx.now_ms, while_in=(S.IN_DOUBT,))
    return f"it carries the key of {row.where}, which is in doubt and looked up at once"


def _is_tried_again(now: MatchContext, keyed: Sequence[AttemptRow]) -> bool:
    """Return whether the step may still go out under the same key, and will find the task: taken over, it could not. It
    will not once its video has left the catalogue, or a changed prompt has made the hop another step."""
    last, videos = keyed[-1], now.catalogue
    if last.video_key not in videos or any(row.resubmit_allowed for row in keyed):
        return False
    steps = chain.digests(videos[last.video_key], last.hop, videos=videos, names=now.names)
    return steps[-1] == last.chain_digest


def _possible(now: MatchContext, view: TaskView) -> tuple[ReconciliationVerdict, str] | None:
    """Return whose a task without a key may be, of what is on its way or in doubt."""
    attempts = [candidate.attempt for candidate in now.may_be]
    own = [row for row in attempts if row.state in EXPOSED and row.task_id is None]
    rows = [row for row in own if view.parent_video_id in (None, row.parent_video_id)]
    if (doubt := next((row for row in rows if row.state == S.IN_DOUBT), None)) is not None:
        where = doubt.where
        told = f"it may be {where}, which is in doubt: extend-pipeline resolve {where} adopt TASK"
        return ReconciliationVerdict.UPSTREAM_ONLY, told
    if (sent := next((row for row in rows if row.state == S.SENDING), None)) is not None:
        return ReconciliationVerdict.OPEN, f"it may be {sent.where}, which is being sent"
    return None


def _given_up(keyed: Sequence[AttemptRow], now: MatchContext, view: TaskView) -> AttemptRow | None:
    """Return the attempt without a task that was written off and booked, and is what this task was made for: by its
    key, or by its parent and the time that it was sent."""
    booked = [candidate.attempt for candidate in now.may_be if candidate.booked_micros > 0]
    rows = [row for row in booked if row.state is S.WRITTEN_OFF and row.task_id is None]
    if view.external_task_id:
        return next((row for row in rows if row in keyed), None)
    made = view.created_ms
    for row in rows:
        same = view.parent_video_id in (None, row.parent_video_id)
        if same and made is not None and row.sending_at is not None and abs(made - row.sending_at) <= DAY_MS:
            return row
    return None


def _unproven(
    mine: ReconciliationItem, now: MatchContext, given_up: AttemptRow | None, shown: StatementLine
) -> ReconciliationItem:
    """Return a task of a provider that doesn't tell what it was made from: a source, another product, or an
    extension."""
    if given_up is None:
        return replace(
            mine, verdict=ReconciliationVerdict.OTHER, note="nothing tells that it is an extension, and none is missing"
        )
    where, accept = given_up.where, f"reconcile {now.account.name} --accept {now.source}/{shown.task_id}"
    note = f"it may be {where}, which was written off and booked; if it is: extend-pipeline {accept}"
    return replace(mine, note=note)


def max_price_micros(price: Price) -> int:
    """Return the most that one extension can cost, in micro-units: what is reserved for a task of unknown mode."""
    amounts = price.per_extension_micros
    return amounts if isinstance(amounts, int) else max(amounts.values())


def _orphan(account: Account, shown: StatementLine, view: TaskView, zone: str) -> UnmatchedTask:
    known = [micros for micros in (shown.micros, view.units_micros) if micros is not None and micros >= 0]
    return UnmatchedTask(
        account=account.name,
        provider=account.provider,
        submit_class=account.submit_class,
        task_id=shown.task_id,
        external_task_id=view.external_task_id or "",
        parent_video_id=view.parent_video_id or "",
        parent_duration_ms=view.parent_duration_ms,
        unit=account.price.unit,
        predicted_micros=max(known) if known else max_price_micros(account.price),
        unit_price_micros=account.price.unit_price_micros,
        currency=account.price.currency,
        failed_tasks_charged=account.failed_tasks_charged,
        created_ms=view.created_ms,
        zone=zone,
    )
