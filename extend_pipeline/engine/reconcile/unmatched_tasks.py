"""Decide about tasks on a provider's statement that no attempt holds: adopt, leave to an attempt, ask, or ignore."""

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
from extend_pipeline.engine.reconcile.expected_keys import keys_of
from extend_pipeline.engine.reconcile.statements import CLOCKS_MS, DAY_MS
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import reconciliation_queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.reconciliation_queries import Candidate, TaskOwner
from extend_pipeline.ledger.states import EXPOSED
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import reconciliation, transitions
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, UnmatchedTask
from extend_pipeline.ledger.write.reconciliation import ReconciliationVerdict as Verdict
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome, TaskView
from extend_pipeline.providers.registry import spec_of

UNRELATED_NOTE: Final = "nothing here has its key or its film: unrelated"
MAX_ADOPTED: Final = 100  # in one comparison; more are another user's tasks rather than our lost responses


@dataclass(frozen=True, slots=True)
class MatchContext:
    """The data for decisions about an account's unmatched tasks, read in the transaction that records them."""

    account: Account
    source: str
    first_claim_ms: int
    accepted: frozenset[str]
    candidates: Sequence[Candidate]
    elsewhere: Mapping[str, TaskOwner]
    catalogue: Mapping[str, Video]
    sources: Mapping[str, str]
    """Videos of the catalogue by the provider's id of their source."""
    expected_steps: Mapping[str, str]
    """VIDEO/HOP of the catalogue's steps by those of the unmatched tasks' keys that are theirs, see `expected_keys`."""
    names: chain.Names
    films: frozenset[str]
    """Those of the unmatched tasks' parents that are a result or a source of this home."""
    open_questions: Mapping[str, str]
    """Tasks with an open question under another statement of the account, and that statement's name."""
    zone: str
    """The time zone of the day that a task is booked on."""


@dataclass(frozen=True, slots=True)
class ResolvedUnmatched:
    """The verdict on each unmatched task by id, the ids that were adopted, and those that are only counted because
    nothing proves their owner: the next comparison decides about these again."""

    items: Mapping[str, ReconciliationItem]
    adopted: tuple[str, ...]
    counted: frozenset[str]


def match_context(
    connection: Connection,
    pipeline: Pipeline,
    account: Account,
    source: str,
    outcomes: Mapping[str, QueryOutcome],
    expected_steps: Mapping[str, str],
) -> MatchContext:
    """Read the context from the ledger, so that claims, submits, tasks and decisions since the statement was read
    count too."""
    videos = pipeline.configuration.catalogue.videos
    sources = {video.source.source_id: key for key, video in videos.items() if hasattr(video.source, "source_id")}
    candidates = reconciliation_queries.candidates_for(
        connection, account.name, keys=keys_of(outcomes), states=(*EXPOSED, S.WRITTEN_OFF)
    )
    parents = {outcome.view.parent_video_id or "" for outcome in outcomes.values() if isinstance(outcome, Found)} - {""}
    known = reconciliation_queries.known_films(connection, account.provider, parents)
    return MatchContext(
        account,
        source,
        reconciliation_queries.first_claim(connection, account.name) or pipeline.now_ms(),
        reconciliation_queries.accepted_tasks(connection, account.name),
        candidates,
        reconciliation_queries.holders_elsewhere(connection, account.name, account.provider, list(outcomes)),
        videos,
        sources,
        expected_steps,
        chain_names(pipeline, connection, {candidate.attempt.video_key for candidate in candidates}),
        frozenset(parent for parent in parents if parent in known or parent in sources),
        reconciliation_queries.open_on_other_statements(connection, account.name, source),
        pipeline.configuration.timezone,
    )


def proved_unrelated(context: MatchContext, outcomes: Mapping[str, QueryOutcome]) -> frozenset[str]:
    """Return the tasks that are proved to be unrelated: made from a film that this home doesn't know, and without a key
    of ours. Empty where the account is used by this home alone, or the operator is asked about every task."""
    if context.account.adopt_orphans in ("all", "ask"):
        return frozenset()
    ours = {candidate.attempt.external_task_id for candidate in context.candidates} | context.expected_steps.keys()
    return frozenset(
        task_id
        for task_id, outcome in outcomes.items()
        if isinstance(outcome, Found)
        and outcome.view.external_task_id not in ours
        and outcome.view.parent_video_id
        and outcome.view.parent_video_id not in context.films
        and task_id not in context.accepted
    )


@dataclass(frozen=True, slots=True)
class _Task:
    """A task that no attempt holds: its line of the statement, its undecided result, what the provider reports about
    it, the attempts with its key (oldest claim first), and the attempt that was written off for it."""

    line: StatementLine
    item: ReconciliationItem
    view: TaskView
    keyed: Sequence[AttemptRow]
    written_off: AttemptRow | None

    def judged(self, verdict: Verdict, note: str) -> ReconciliationItem:
        """Return the result with a verdict and its reason."""
        return replace(self.item, verdict=verdict, note=note)

    def asked(self, note: str) -> ReconciliationItem:
        """Return the result with its reason, for the operator to decide."""
        return replace(self.item, note=note)


def _task(context: MatchContext, line: StatementLine, item: ReconciliationItem, view: TaskView) -> _Task:
    attempts = [candidate.attempt for candidate in context.candidates] if view.external_task_id else []
    keyed = [attempt for attempt in attempts if attempt.external_task_id == view.external_task_id]
    return _Task(line, item, view, keyed, _written_off(keyed, context, view))


def resolve_unmatched(
    tx: LedgerTransaction,
    context: MatchContext,
    unmatched: Sequence[tuple[StatementLine, ReconciliationItem]],
    outcomes: Mapping[str, QueryOutcome],
    *,
    adopt: bool,
) -> ResolvedUnmatched:
    """Decide about each unmatched task."""
    items: dict[str, ReconciliationItem] = {}
    adopted: list[str] = []
    counted: set[str] = set()
    for line, item in unmatched:
        task_id = line.task_id
        if task_id in context.accepted:
            note = "the operator has accepted it under another statement"
            items[task_id] = replace(item, verdict=Verdict.ACCEPTED, note=note)
            continue
        match outcomes.get(task_id):
            case None:
                note = "not looked at yet, there are too many; run it again"
                shared = context.account.adopt_orphans in ("own", "none")  # most of them are unrelated
                items[task_id] = replace(item, verdict=Verdict.OPEN if shared else item.verdict, note=note)
            case NotFound() if context.source == "billing":
                items[task_id] = replace(item, verdict=Verdict.OTHER, note="billed, and no extension")
            case NotFound(answer):
                items[task_id] = replace(item, note=f"the provider billed it and knows it no more: {answer.message}")
            case QueryFailed(_, answer):
                items[task_id] = replace(item, note=f"it could not be looked at: {answer.message}; run it again")
            case Found(view):
                task = _task(context, line, item, view)
                decided = _decide(tx, context, task, adopt=adopt, is_full=len(adopted) >= MAX_ADOPTED)
                items[task_id] = decided or task.judged(Verdict.OTHER, UNRELATED_NOTE)
                adopted += [task_id] * (decided is not None and decided.attempt_id is not None)
                counted |= {task_id} if decided is None else set()
    return ResolvedUnmatched(items, tuple(adopted), frozenset(counted))


def _decide(
    tx: LedgerTransaction, context: MatchContext, task: _Task, *, adopt: bool, is_full: bool
) -> ReconciliationItem | None:
    """Return the verdict on a task; None where nothing proves its owner and other users share the account."""
    verdict = _other_verdict(tx, context, task)
    if verdict is not None:
        return verdict
    if task.view.parent_video_id is None and not spec_of(context.account.provider).reports_parent:
        return _unproven(context, task)
    ours = _why_ours(context, task)
    policy = context.account.adopt_orphans
    if not ours and policy in ("own", "none"):
        return None
    if policy == "all" or (policy == "own" and task.keyed):
        if adopt and not is_full:
            return _adopt(tx, context, task)
        why = f"{MAX_ADOPTED} at a time are the limit; run it again" if adopt else "adopting is off"
        row = task.written_off
        booked = None if row is None else f"; it is {row.where}, which was written off and booked"
        return task.asked(f"not adopted: {why}{booked or ''}")
    name, task_id = context.account.name, task.line.task_id
    if (other := context.open_questions.get(task_id)) is not None:
        return task.judged(Verdict.OPEN, f"it is an open question in the {other} already")
    yes, no = f"reconcile {name} --adopt {task_id}", f"reconcile {name} --accept {context.source}/{task_id}"
    why = ours or "nothing here has its key or its film"
    return task.asked(f"{why}; if it is yours: extend-pipeline {yes}; if not: extend-pipeline {no}")


def adopt_for_operator(tx: LedgerTransaction, context: MatchContext, view: TaskView) -> ReconciliationItem:
    """Adopt one task on the operator's decision. Where a check fails, the returned item has no attempt, and its note is
    the reason."""
    item = ReconciliationItem(
        task_id=view.task_id,
        verdict=Verdict.UPSTREAM_ONLY,
        attempt_id=None,
        unit=context.account.price.unit,
        ledger_micros=None,
        upstream_micros=view.units_micros,
    )
    task = _task(context, StatementLine(view.task_id, view.units_micros), item, view)
    return _other_verdict(tx, context, task) or _adopt(tx, context, task)


def _other_verdict(tx: LedgerTransaction, context: MatchContext, task: _Task) -> ReconciliationItem | None:
    """Return the verdict on a task that is unrelated, or that an attempt or step of this home may own, so that a
    look-up, a retry or the operator decides; None where it may be adopted."""
    keyed, view = task.keyed, task.view
    if not keyed and (reason := _unrelated_reason(context, task.line, view)) is not None:
        return task.judged(Verdict.OTHER, reason)
    if (live := next((row for row in keyed if row.state in EXPOSED), None)) is not None:
        return task.judged(Verdict.OPEN, _look_up_now(tx, context, live))
    if keyed and all(row.state in (S.RELEASED, S.REJECTED) for row in keyed) and _will_retry(context, keyed):
        where = keyed[-1].where
        return task.asked(
            f"it carries the key of {where}, which was released or rejected; the next try of {where} finds it"
        )
    if not keyed and (step := context.expected_steps.get(view.external_task_id or "")) is not None:
        note = f"it carries the key of {step}, which this ledger has not submitted yet; its next try finds it"
        return task.asked(f"{note}, and pays nothing: extend-pipeline advance")
    return None if view.external_task_id else _open_match(context, task)


def _why_ours(context: MatchContext, task: _Task) -> str:
    """Return why a task may be this home's; empty where nothing shows that."""
    if task.keyed:
        return f"it carries the key of {task.keyed[-1].where}"
    if task.written_off is not None:
        return f"it may be {task.written_off.where}, which was written off and booked"
    if (parent := task.view.parent_video_id) in context.films:
        named = context.sources.get(parent or "")
        return f"it extends {f'the source of {named}' if named else f'film {parent} of this home'}"
    return ""


def _adopt(tx: LedgerTransaction, context: MatchContext, task: _Task) -> ReconciliationItem:
    moved = reconciliation.adopt_unmatched(tx, _orphan(context.account, task.line, task.view, context.zone))
    if not isinstance(moved, Moved):
        return task.judged(Verdict.OPEN, "an attempt holds it by now")
    key = reconciliation.adopted_key(context.account.name, task.line.task_id)
    note = f"adopted as {key}: booked, and fetched like any"
    if (row := task.written_off) is not None:
        reconciliation.book_billed(tx, row.attempt_id, micros=0)
        note = f"{note}; it is {row.where}, which was written off, and whose charge is now booked here"
    elif (paid := next((row for row in reversed(task.keyed) if row.task_id), None)) is not None:
        note = f"{note}; {paid.where} is task {paid.task_id} with the same key, so that step was paid twice"
    return replace(task.item, attempt_id=moved.attempt_id, note=note)


def _unrelated_reason(context: MatchContext, line: StatementLine, view: TaskView) -> str | None:
    """Return why a task is unrelated to this home; None where nothing shows that."""
    if (owner := context.elsewhere.get(line.task_id)) is not None:
        return f"account {owner.account} holds it as {owner.where}"
    if (video := context.sources.get(line.task_id)) is not None:
        return f"it is the source of {video}"
    if view.created_ms is not None and view.created_ms < context.first_claim_ms - CLOCKS_MS:
        return "made before the account's first claim"
    return None


def _look_up_now(tx: LedgerTransaction, context: MatchContext, row: AttemptRow) -> str:
    if row.state is not S.IN_DOUBT:
        return f"it carries the key of {row.where}, which is being sent"
    transitions.schedule(tx, row.attempt_id, account=context.account.name, due_at=tx.now_ms, while_in=(S.IN_DOUBT,))
    return f"it carries the key of {row.where}, which is in doubt and looked up at once"


def _will_retry(context: MatchContext, keyed: Sequence[AttemptRow]) -> bool:
    """Return whether the step may be submitted again with the same key, and so find the task, unless it was adopted. No
    retry follows where the video has left the catalogue or a changed prompt has made the hop another step."""
    last, videos = keyed[-1], context.catalogue
    if last.video_key not in videos or any(row.resubmit_allowed for row in keyed):
        return False
    steps = chain.digests(videos[last.video_key], last.hop, videos=videos, names=context.names)
    return steps[-1] == last.chain_digest


def _open_match(context: MatchContext, task: _Task) -> ReconciliationItem | None:
    """Return the verdict on a task without a key that an attempt being sent or in doubt may own; None if none may."""
    attempts = [candidate.attempt for candidate in context.candidates]
    own = [row for row in attempts if row.state in EXPOSED and row.task_id is None]
    rows = [row for row in own if task.view.parent_video_id in (None, row.parent_video_id)]
    if (doubt := next((row for row in rows if row.state == S.IN_DOUBT), None)) is not None:
        where = doubt.where
        note = f"it may be {where}, which is in doubt: extend-pipeline resolve {where} adopt {task.line.task_id}"
        return task.judged(Verdict.UPSTREAM_ONLY, note)
    if (sent := next((row for row in rows if row.state == S.SENDING), None)) is not None:
        return task.judged(Verdict.OPEN, f"it may be {sent.where}, which is being sent")
    return None


def _written_off(keyed: Sequence[AttemptRow], context: MatchContext, view: TaskView) -> AttemptRow | None:
    """Return the attempt without a task that was written off and booked, and that this task was made for: by its key,
    or by its parent and the time when it was sent."""
    booked = [candidate.attempt for candidate in context.candidates if candidate.booked_micros > 0]
    rows = [row for row in booked if row.state is S.WRITTEN_OFF and row.task_id is None]
    if view.external_task_id:
        return next((row for row in rows if row in keyed), None)
    made_ms = view.created_ms
    return next(
        (
            row
            for row in rows
            if view.parent_video_id in (None, row.parent_video_id)
            and made_ms is not None
            and row.sending_at is not None
            and abs(made_ms - row.sending_at) <= DAY_MS
        ),
        None,
    )


def _unproven(context: MatchContext, task: _Task) -> ReconciliationItem:
    """Return the verdict on a task of a provider that doesn't report the parent: a source, another product, or an
    extension."""
    if task.written_off is None:
        return task.judged(Verdict.OTHER, "nothing shows that it is an extension, and none is missing")
    where, name = task.written_off.where, context.account.name
    accept = f"reconcile {name} --accept {context.source}/{task.line.task_id}"
    return task.asked(f"it may be {where}, which was written off and booked; if it is: extend-pipeline {accept}")


def max_price_micros(price: Price) -> int:
    """Return the highest price of one extension (micro-units), which is reserved for a task of unknown mode."""
    amounts = price.per_extension_micros
    return amounts if isinstance(amounts, int) else max(amounts.values())


def _orphan(account: Account, line: StatementLine, view: TaskView, zone: str) -> UnmatchedTask:
    known = [micros for micros in (line.micros, view.units_micros) if micros is not None and micros >= 0]
    return UnmatchedTask(
        account=account.name,
        provider=account.provider,
        submit_class=account.submit_class,
        task_id=line.task_id,
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
