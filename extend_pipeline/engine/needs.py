"""List what waits for a person: each thing once, with the videos that it holds up, the provider's own words, and what
helps."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

from extend_pipeline.base.wording import counted, first_names
from extend_pipeline.engine.fetch.retention import Expiring, Urgency, unfetched
from extend_pipeline.engine.guards.process import (
    DOUBT_TODO,
    WITHDRAWN_TODO,
    keyless_accounts,
    mistakes,
    withdrawn_at_once,
)
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.leftover_tasks import leftover_tasks
from extend_pipeline.engine.plan.hop_state import Blocked, classify_hop
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan, VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.reconcile.last_reads import statements_now
from extend_pipeline.engine.status import AccountStatus, Doubt, accounts_now, disagreements_now, doubts_now
from extend_pipeline.engine.store.missing import MissingFile, what_to_do
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import WITHDRAWN_WITH_MANY
from extend_pipeline.ledger.write import files

DOUBT_S: Final = 3_600
"""Seconds: six settle windows of class A. An attempt that is in doubt for longer needs a look."""

MAX_MISTAKES: Final = 100
"""So many mistakes in the files have an id each: beside them one more is no news."""

_STOPS: Final = (BlockReason.ACCOUNT_STOPPED, BlockReason.WRONG_CLOCK)
_OF_AN_ACCOUNT: Final = frozenset(
    {
        *_STOPS,
        BlockReason.IN_DOUBT_CAP,
        BlockReason.LEDGER,
        BlockReason.MEDIA_STORE,
        BlockReason.NO_BUDGET,
        BlockReason.NO_KEY,
        BlockReason.PAUSED,
        BlockReason.TOTAL_BUDGET,
    }
)
"""What holds up an account as a whole: one more video that waits for it is no other thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that waits for a person.

    `kind` is the block reason of its videos, or names what else it is. `hop` is set where it is one video's. `words`
    are the provider's own, `attempt` is the request that it is about. `is_urgent` says that money or a paid file is
    exposed meanwhile. `ids` identify it from one look to the next, where counts and ages in its message may differ: one
    for each of its videos, or one where an account or the home as a whole waits.
    """

    kind: str
    videos: tuple[str, ...] = ()
    hop: int | None = None
    account: str = ""
    message: str
    words: str = ""
    todo: str
    is_urgent: bool = False
    attempt: AttemptRow | None = None
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.ids:
            place = f"{self.videos[0]}/{self.hop}" if self.hop is not None and self.videos else self.account
            object.__setattr__(self, "ids", (_id(self.kind, place, self.attempt),))

    @property
    def where(self) -> str:
        """Return VIDEO/HOP, the first of several videos, or the account."""
        if len(self.videos) == 1 and self.hop is not None:
            return f"{self.videos[0]}/{self.hop}"
        if self.videos:
            return first_names(self.videos)
        return f"account {self.account}" if self.account else ""


def needs_now(pipeline: Pipeline) -> list[Need]:
    """Return everything that waits for a person, what is urgent first. Videos that wait for a task are counted instead
    of planned, so that the cost depends on the other open ones."""
    planned = plan(plan_input(pipeline, unfinished=True, walk_running=0))
    accounts, doubts, expiring = accounts_now(pipeline), doubts_now(pipeline), _about_to_expire(pipeline)
    needs = [
        *_of_the_home(pipeline, planned),
        *needs_of(planned.videos, accounts=accounts, doubts=doubts, expiring=expiring),
    ]
    needs += _of_accounts(pipeline, accounts, planned, needs)
    covered = {need.where for need in needs}
    asked = _asked_unless_hidden(pipeline, doubts)
    waiting = [doubt for doubt in doubts if _waits(doubt) or doubt.attempt.attempt_id in asked]
    needs += (_doubt(doubt) for doubt in waiting if doubt.attempt.where not in covered)
    needs += (_expiring(item, pipeline.now_ms()) for item in expiring if item.where not in covered)
    covered |= {need.where for need in needs}
    needs += _of_the_providers(pipeline, covered)
    needs += _lost_films(pipeline)
    return sorted(needs, key=lambda need: not need.is_urgent)


def needs_of(
    videos: Iterable[VideoPlan],
    *,
    accounts: Iterable[AccountStatus] = (),
    doubts: Iterable[Doubt] = (),
    expiring: Iterable[Expiring] = (),
) -> list[Need]:
    """Return what the videos wait for, once for all videos that wait for the same. A mistake in the files holds up
    every video, and is not part of it."""
    stopped = {account.account: account for account in accounts if account.stop is not None}
    late = {doubt.attempt.where for doubt in doubts if doubt.age_s > DOUBT_S} | {item.where for item in expiring}
    groups: dict[tuple[str, str], list[Need]] = {}
    for video in videos:
        blocker = video.blocker
        if blocker is None or not video.needs_person or blocker.reason is BlockReason.CONFIGURATION:
            continue
        is_stop = blocker.reason in _STOPS
        stop = stopped.get(video.account) if is_stop else None
        words = stop.stopped_message if stop else video.running and video.running.error_message
        need = Need(
            kind=blocker.reason.value,
            videos=(video.key,),
            ids=_ids_of(video, blocker.reason, stop),
            hop=video.hops_done + 1 if video.edit is None else video.edit.hop,
            account=video.account,
            message=blocker.message,
            words=words or "",
            todo=blocker.todo,
            attempt=None if is_stop else video.running,
        )
        need = replace(need, is_urgent=is_stop or need.where in late)
        groups.setdefault((need.message, need.todo), []).append(need)
    return [_together(needs) for needs in groups.values()]


def _together(needs: Sequence[Need]) -> Need:
    """Return one need for the videos that wait for the same."""
    if len(needs) == 1:
        return needs[0]
    return replace(
        needs[0],
        videos=tuple(key for need in needs for key in need.videos),
        ids=tuple(dict.fromkeys(name for need in needs for name in need.ids)),
        hop=None,
        is_urgent=any(need.is_urgent for need in needs),
    )


def _ids_of(video: VideoPlan, reason: BlockReason, stop: AccountStatus | None) -> tuple[str, ...]:
    """Return the ids of what holds up an account as a whole, or of an edit, each of which is a question of its own; of
    anything else none, because its place tells it."""
    if reason in _STOPS:
        return (_stop(reason, video.account, stop),)
    if reason in _OF_AN_ACCOUNT:
        return (_id(reason.value, video.account, None),)
    if video.edit is not None:
        edited = " ".join(choice.chain_digest for choice in video.edit.pay)
        return (_id(reason.value, f"{video.key}/{video.edit.hop} {edited}", video.running),)
    return ()


def _stop(reason: BlockReason, account: str, stop: AccountStatus | None) -> str:
    return _id(reason.value, f"{account} {stop.stop_id if stop else ''}", None)


def _id(kind: str, place: str, attempt: AttemptRow | None) -> str:
    return f"{kind} {place} {'' if attempt is None else attempt.attempt_id}"


def _of_the_home(pipeline: Pipeline, planned: Plan) -> Iterator[Need]:
    """Yield what holds up the whole home, apart from what a plan says of each video."""
    ledger, blockers = planned.ledger, [video.blocker for video in planned.videos if video.blocker is not None]
    if ledger is not None and ledger not in blockers:
        yield Need(kind=ledger.reason.value, message=ledger.message, todo=ledger.todo)
    if wrong := mistakes(pipeline):
        held = [v.key for v in planned.videos if v.blocker and v.blocker.reason is BlockReason.CONFIGURATION]
        yield Need(
            kind=BlockReason.CONFIGURATION.value,
            videos=tuple(held),
            message=f"{counted(len(wrong), 'mistake')} in the catalogue or the accounts: {wrong[0]}",
            todo="correct the file; extend-pipeline status names every mistake",
            ids=tuple(_id("configuration", text, None) for text in dict.fromkeys(_without_lines(pipeline))),
        )
    if (withdrawn := withdrawn_at_once(pipeline)) is not None:
        yield Need(
            kind=WITHDRAWN_WITH_MANY,
            videos=withdrawn.videos,
            message=withdrawn.message,
            todo=WITHDRAWN_TODO,
            ids=(f"{WITHDRAWN_WITH_MANY} {withdrawn.seq}",),
        )
    if pipeline.store_doubt and all(blocker.reason is not BlockReason.MEDIA_STORE for blocker in blockers):
        yield Need(kind=BlockReason.MEDIA_STORE.value, message=pipeline.store_doubt, todo=DOUBT_TODO)


def _without_lines(pipeline: Pipeline) -> Iterator[str]:
    """Yield the first mistakes in the files without their lines, which move with what stands above them."""
    return (replace(problem, line=None).text() for problem in pipeline.configuration.problems[:MAX_MISTAKES])


def _of_accounts(
    pipeline: Pipeline, accounts: Iterable[AccountStatus], planned: Plan, needs: Sequence[Need]
) -> Iterator[Need]:
    """Yield the stopped accounts, and those without a key or an entry, that no video of `needs` waits for."""
    stopped = {need.account for need in needs if need.kind in _STOPS}
    for account in accounts:
        if account.stop is not None and account.account not in stopped:
            yield Need(
                kind=account.stop.reason.value,
                account=account.account,
                message=account.stop.message,
                words=account.stopped_message,
                todo=account.stop.todo,
                is_urgent=True,
                ids=(_stop(account.stop.reason, account.account, account),),
            )
    keyless = {need.account for need in needs if need.kind == BlockReason.NO_KEY.value}
    for name, fault in keyless_accounts(pipeline, planned).items():
        if name not in keyless:
            todo = "set it where this process runs; its tasks are polled and fetched then"
            yield Need(kind=BlockReason.NO_KEY.value, account=name, message=f"account {name}: {fault}", todo=todo)
    with pipeline.ledger.read() as connection:
        in_use = queries.open_accounts(connection)
    for name in sorted({name for name, _ in in_use} - pipeline.accounts.keys()):
        count = counted(sum(attempts for (account, _), attempts in in_use.items() if account == name), "attempt")
        message = f"{count} under way or paid for, and accounts.yaml doesn't name account {name}"
        yield Need(
            kind="unknown_account",
            account=name,
            message=message,
            todo="put the account back until they are fetched",
        )


def _waits(doubt: Doubt) -> bool:
    """Return whether a doubt that no plan has as a question waits for a person: it is past its time, or its video has
    left the catalogue."""
    return doubt.age_s > DOUBT_S or not doubt.is_declared


def _asked_unless_hidden(pipeline: Pipeline, doubts: Sequence[Doubt]) -> set[str]:
    """Return the attempts in doubt about which a plan asks a person, while a mistake in the files may hide their videos
    from it."""
    if not pipeline.configuration.problems:
        return set()
    rows = [doubt.attempt for doubt in doubts if doubt.attempt.account in pipeline.accounts]
    with pipeline.ledger.read() as connection:
        hints = queries.hints(connection, [row.attempt_id for row in rows])
    looks = {key: hint.look for key, hint in hints.items()}
    asked = set()
    for row in rows:
        hop_state = classify_hop(row.where, [row], looks, pipeline.accounts[row.account], pipeline.now_ms())
        if isinstance(hop_state, Blocked) and hop_state.blocker.reason.needs_person:
            asked.add(row.attempt_id)
    return asked


def _doubt(doubt: Doubt) -> Need:
    row = doubt.attempt
    decisions = "adopt TASK | resubmit | write-off" if doubt.is_declared else "adopt TASK | write-off"
    return Need(
        kind=BlockReason.IN_DOUBT.value,
        videos=(row.video_key,),
        hop=row.hop,
        account=row.account,
        message=f"{row.where} may or may not have been accepted, for {doubt.age_s / 3600:.1f} h",
        words=row.error_message or "",
        todo=f"look at the provider's console, then: extend-pipeline resolve {row.where} {decisions}",
        is_urgent=doubt.age_s > DOUBT_S,
        attempt=row,
    )


def _about_to_expire(pipeline: Pipeline) -> list[Expiring]:
    """Return the paid results whose keeping time is nearly or quite over."""
    late = (Urgency.LAST_HOUR, Urgency.OVER)
    return [item for item in unfetched(pipeline.ledger, pipeline.now_ms()) if item.urgency in late]


def _expiring(item: Expiring, now_ms: int) -> Need:
    video, _, hop = item.where.rpartition("/")
    return Need(
        kind="expiring",
        videos=(video or item.where,),
        hop=int(hop) if video else None,
        account=item.account,
        message=item.describe(now_ms),
        words=item.note,
        todo="extend-pipeline advance fetches it; extend-pipeline status shows why it could not be fetched",
        is_urgent=True,
    )


def _of_the_providers(pipeline: Pipeline, covered: set[str]) -> Iterator[Need]:
    """Yield tasks that are in no plan, differences from statements, and statements that can't be read."""
    for task in leftover_tasks(pipeline):
        if f"{task.video_key}/{task.hop}" not in covered:
            yield Need(
                kind=task.kind,
                videos=(task.video_key,),
                hop=task.hop,
                account=task.account,
                message=task.message,
                todo=task.todo,
                attempt=task.attempt,
            )
    for row in disagreements_now(pipeline):
        yield Need(
            kind=row.verdict.value,
            account=row.account,
            ids=(f"{row.verdict.value} {row.account} {row.source}/{row.task_id}",),
            message=f"task {row.task_id} of {row.account}, {row.source}: {row.verdict.replace('_', ' ')}; {row.note}",
            todo=f"look at it with extend-pipeline reconcile; to accept it: "
            f"extend-pipeline reconcile {row.account} --accept {row.source}/{row.task_id}",
        )
    for statement in statements_now(pipeline):
        if statement.is_long_unavailable(pipeline.now_ms()):
            yield Need(
                kind="statement_unavailable",
                account=statement.account,
                message=statement.unavailable_text,
                words=statement.unavailable_message or "",
                todo=f"extend-pipeline doctor, then extend-pipeline reconcile {statement.account}",
                ids=(f"statement_unavailable {statement.account}/{statement.source} {statement.unavailable_since}",),
            )


def _lost_films(pipeline: Pipeline) -> Iterator[Need]:
    with pipeline.ledger.read() as connection:
        rows = files.found_missing(connection, states=("lost",))
    for row in rows:
        missing = MissingFile(**asdict(row))
        yield Need(
            kind="film_lost",
            videos=(row.video_key,),
            hop=row.hop,
            account=row.account,
            message=missing.describe(),
            words=missing.last_try,
            todo=what_to_do(missing),
            ids=(f"film_lost {row.owner} {row.role.value} {row.since}",),
        )
