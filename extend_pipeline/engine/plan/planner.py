"""The plan: a pure function from catalogue, accounts, attempts and clock to what is due, what it costs, and what
can't be done and why. It decides nothing about money for good: the claim checks everything again where nobody else
can write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from extend_pipeline.base.wording import counted
from extend_pipeline.config.checks.purchase import purchase_digest
from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.config.model.source import Source
from extend_pipeline.engine.guards.disk_space import DiskSpace
from extend_pipeline.engine.plan.budget import AccountBudget, DiskBudget, account_budget
from extend_pipeline.engine.plan.goal import Goal, forecast, goal_of, past_at_most
from extend_pipeline.engine.plan.hop_names import Edited, OtherAccount
from extend_pipeline.engine.plan.hop_state import Blocked, InFlight, Ready, classify_hop
from extend_pipeline.engine.plan.limits import impossible, next_source
from extend_pipeline.engine.plan.model import (
    AttemptView,
    Blocker,
    DueStep,
    Edit,
    Parent,
    Plan,
    PlanInput,
    Purchase,
    SourceView,
    Twin,
    VideoPlan,
)
from extend_pipeline.engine.plan.questions import repurchase, same_purchase, words_now, words_paid
from extend_pipeline.engine.plan.walk import Position, Start, Step, Walk, change_policy, root, stored_hop, walk
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import LIVE, VideoState
from extend_pipeline.ledger.write.names import Choice
from extend_pipeline.providers.registry import spec_of


@dataclass(frozen=True, slots=True)
class Ahead:
    """A hop that may be bought, as far as its own video is concerned."""

    here: Position
    step: Step
    due: Ready
    price: int
    source: str
    purchase: str


def plan(given: PlanInput) -> Plan:
    """Plan every video of the input, in its order; earlier videos take slots and budget first."""
    disk = DiskBudget(given.disk)
    budgets = {name: account_budget(account, given, disk) for name, account in given.accounts.items()}
    planned = tuple(_plan_video(video, given, budgets[video.account]) for video in given.videos)
    return Plan(given.now_ms, planned, given.ledger)


def look_ahead(given: PlanInput) -> dict[str, VideoPlan | Ahead]:
    """Walk every video of the input to its next hop, by video; a plan of the same input need not do it again."""
    return {video.key: _look_ahead(video, given) for video in given.videos}


def purchases_ahead(ahead: Mapping[str, VideoPlan | Ahead]) -> dict[str, Purchase]:
    """Return what the next hop of each video would buy, by video, in the order of the input; only of hops that may be
    bought now as far as their own video is concerned."""
    return {key: Purchase(found.step.hop, found.purchase) for key, found in ahead.items() if isinstance(found, Ahead)}


def root_source(video: Video, catalogue: Mapping[str, Video]) -> Source:
    """Return the source at the top of a video's branches."""
    source = video.source
    while isinstance(source, BranchSource):
        source = catalogue[source.branch_of].source
    return source


def _plan_video(video: Video, given: PlanInput, budget: AccountBudget) -> VideoPlan:
    ahead = given.ahead.get(video.key) or _look_ahead(video, given)
    if isinstance(ahead, VideoPlan):
        return ahead
    here, step = ahead.here, ahead.step
    twin = given.twins.get(video.key)
    held = None if twin is None else same_purchase(video, step.hop, twin, given)
    if (held := held or budget.try_reserve(ahead.price)) is not None:
        return _told(here, held)
    parent = here.parent
    assert parent is not None
    due = DueStep(
        video=video,
        hop=step.hop,
        generation=ahead.due.generation,
        try_no=ahead.due.try_no,
        chain_digest=step.name,
        root_video_id=parent.root_video_id,
        parent_attempt_id=parent.attempt_id,
        parent_video_id=ahead.source,
        parent_task_id=parent.task_id or _task_of(video, parent),
        parent_duration_ms=parent.duration_ms,
        params=video.extend.hop_params(step.hop),
        mode=here.mode,
        predicted_micros=ahead.price,
        last_attempt_id=ahead.due.last.attempt_id if ahead.due.last else None,
        tries_seen=len(step.at_hop),
        paid_again=any(a.completed_at is not None for a in step.at_hop),
        named_as=given.names.video(video.key),
        purchase=ahead.purchase,
        choices=here.choices,
    )
    return _told(here, None, state=VideoState.WORKING, due=due)


def _look_ahead(video: Video, given: PlanInput) -> VideoPlan | Ahead:
    """Walk a video to its next hop. Returns what is said of the video where nothing may be bought for it now, whatever
    the account has left."""
    account = given.accounts[video.account]
    goal = goal_of(video, account)
    source = root_source(video, given.catalogue)
    start = _start_of(video, goal, source, given)
    here = Position(video, account, goal, source.mode, 0, None)
    if isinstance(start, Blocker):
        if start.reason is BlockReason.SOURCE_UNCHECKED:  # nobody measures it while nothing may be submitted
            return _told(here, given.ledger or given.held.get(account.name) or start)
        return _told(here, start)
    here = replace(here, parent=start.parent)
    way = walk(here, given, on_change=change_policy(video, account, given))
    if isinstance(way.stop, Edited):
        kept = walk(here, given, on_change="keep")
        if not (isinstance(kept.stop, Step) and kept.stop.mends):
            return _ask(way, way.stop, kept)
        way = kept  # the chain stands at a hop that failed: the edit means that hop
    match way.stop:
        case None:
            return _told(way.here, None, state=VideoState.COMPLETE)
        case Blocker():
            return _told(way.here, way.stop)
        case OtherAccount(paid):
            twin = Twin(video.key, paid.hop, paid.account, bought=True)
            return _told(way.here, same_purchase(video, paid.hop, twin, given))
        case Edited():
            raise AssertionError("an edit is asked about before")
        case Step():
            return _step_ahead(way, way.stop, given, start.undecided)


def _ask(way: Walk, edited: Edited, kept: Walk) -> VideoPlan:
    """Say that an edit would pay again, and what each way on costs."""
    video, hop = way.here.video, way.here.hops_done + 1
    keep_hops, pay_hops = _hops_left(kept.here), _hops_left(way.here)
    running = edited.paid if edited.paid.state in LIVE else None
    if isinstance(kept.stop, Step) and kept.stop.tries and kept.stop.tries[-1].state in LIVE:
        running = kept.stop.tries[-1]
        keep_hops = max(keep_hops[0] - 1, 0), max(keep_hops[1] - 1, 0)
    edit = Edit(
        hop=hop,
        paid_for=words_paid(video, edited.paid),
        now=words_now(video, hop),
        kept_hops=kept.here.hops_done - way.here.hops_done,
        keep=kept.here.choices,
        keep_hops=keep_hops,
        keep_micros=_costs(kept.here, keep_hops),
        pay=(Choice(hop, edited.wanted, edited.wanted),),
        pay_hops=pay_hops,
        pay_micros=_costs(way.here, pay_hops),
    )
    told = _told(kept.here, repurchase(video, kept.here.account, edit), running=running)
    micros = None
    if edit.keep_micros is not None and edit.pay_micros is not None:
        micros = edit.keep_micros[0], edit.pay_micros[1]
    choices = way.here.choices  # of what is undecided, nothing is written down
    return replace(told, edit=edit, choices=choices, hops_left=(keep_hops[0], pay_hops[1]), micros_left=micros)


def _start_of(video: Video, goal: Goal, source: Source, given: PlanInput) -> Start | Blocker:
    if not isinstance(video.source, BranchSource):
        seen = given.sources.get(video.key, SourceView())
        return _unmeasured(video, goal, source, seen, given.disk) or Start(root(video, seen, given.names))
    above, hop = given.catalogue[video.source.branch_of], video.source.hop
    if (start := stored_hop(above, hop, given)) is not None:
        return start
    message = f"hop {hop} of {above.key} is not there yet"
    return _parent_state(above, hop, given) or Blocker(BlockReason.PARENT, message, "nothing: it comes first")


def _unmeasured(video: Video, goal: Goal, source: Source, seen: SourceView, disk: DiskSpace | None) -> Blocker | None:
    """Return why a root source can't be gone on from: nobody has measured it, and its length must be known."""
    length = seen.probed_ms if seen.probed_ms is not None else source.duration_ms
    if seen.probed_ms is not None or not (
        spec_of(video.provider).source_range_ms is not None or (length is None and goal.needs_length)
    ):
        return None
    if seen.fault is None:
        if (full := DiskBudget(disk).blocker()) is not None:
            return full
        todo = "nothing: advance fetches and measures it first, which costs nothing"
        return Blocker(BlockReason.SOURCE_UNCHECKED, "the source has not been measured yet", todo)
    if spec_of(video.provider).source_range_ms is not None:
        todo = "mend the source's URL in the catalogue; it is tried again every ten minutes"
        return Blocker(BlockReason.UNREACHABLE_SOURCE, f"the source can't be fetched: {seen.fault}", todo)
    message = f"nobody knows how long the source is, and it can't be fetched: {seen.fault}"
    return Blocker(BlockReason.UNKNOWN_LENGTH, message, "give source.duration, or say extend.steps instead of to")


def _parent_state(above: Video, hop: int, given: PlanInput) -> Blocker | None:
    """Return why hop `hop` of the video above will not come by itself; None where it will."""
    told = plan(replace(given, videos=[above], ahead={})).videos[0]
    if told.state is VideoState.COMPLETE and told.hops_done < hop:
        message = (
            f"{above.key} reaches its target with {counted(told.hops_done, 'hop')}, so its hop {hop} will never be made"
        )
        return Blocker(
            BlockReason.PARENT_BLOCKED, message, f"branch from a lower hop, or raise the target of {above.key}"
        )
    if told.blocker is not None and told.blocker.reason.is_local:
        return told.blocker
    if told.blocker is not None and told.blocker.reason.needs_person:
        message = f"hop {hop} of {above.key} is not there, and {above.key} waits: {told.blocker.message}"
        return Blocker(BlockReason.PARENT_BLOCKED, message, told.blocker.todo)
    if told.blocker is not None and told.blocker.reason is BlockReason.DAY_BUDGET:
        message = f"hop {hop} of {above.key} is not there, and {above.key} waits: {told.blocker.message}"
        return replace(told.blocker, message=message)
    return None


def _step_ahead(way: Walk, step: Step, given: PlanInput, undecided: bool) -> VideoPlan | Ahead:
    here, hop = way.here, step.hop
    where = f"{here.video.key}/{hop}"
    other = next((a for a in step.at_hop if a.chain_digest != step.name and a.state in LIVE), None)
    if other is not None:
        held = classify_hop(where, [other], here.account, given.now_ms)
        if isinstance(held, Blocked) and held.blocker.reason.needs_person:
            return _told(here, held.blocker, running=other)
        message = f"hop {hop} is still running with its earlier parameters"
        return _told(
            here,
            Blocker(BlockReason.EARLIER_TAKE, message, "nothing: it is paid, so it is fetched first"),
            running=other,
        )
    judgement = classify_hop(where, step.tries, here.account, given.now_ms)
    match judgement:
        case InFlight(attempt):
            return _told(here, None, state=VideoState.WORKING, running=attempt)
        case Blocked(blocker, attempt):
            return _told(here, blocker, running=attempt)
        case Ready():
            pass
    parent = here.parent
    assert parent is not None
    if undecided:
        message = "an edit of the video that it branches off is undecided"
        return _told(here, Blocker(BlockReason.PARENT_BLOCKED, message, "decide about that video first"))
    params = here.video.extend.hop_params(hop)
    price = _price(here, params)
    if price is None:
        message = f"account {here.account.name} has no price for mode {here.mode or 'that was asked for'}"
        todo = "give price.per_extension in accounts.yaml; nothing is submitted at an unknown price"
        return _told(here, Blocker(BlockReason.NO_PRICE, message, todo))
    source = (
        past_at_most(here.video, here.goal, hop, parent)
        or impossible(here.video, hop, parent, given.now_ms)
        or next_source(here.account, parent, given.now_ms)
    )
    if isinstance(source, Blocker):
        return _told(here, source)
    return Ahead(here, step, judgement, price, source, purchase_digest(here.video.provider, source, params))


def _task_of(video: Video, parent: Parent) -> str | None:
    """Return the task that made a root source, where the catalogue says so (docs/upstream/kling-gateway.md, "Submit":
    some gateways want it beside the video)."""
    return None if parent.attempt_id is not None else getattr(video.source, "task_id", None)


def _told(
    here: Position,
    blocker: Blocker | None,
    *,
    state: VideoState | None = None,
    due: DueStep | None = None,
    running: AttemptView | None = None,
) -> VideoPlan:
    if state is None:
        person = blocker is not None and blocker.reason.needs_person
        state = VideoState.BLOCKED if person else VideoState.WAITING
    now_ms = here.parent.duration_ms if here.parent else None
    course = forecast(here.video, here.goal, now_ms, here.hops_done)
    hops = (0, 0) if state is VideoState.COMPLETE else course.hops
    return VideoPlan(
        key=here.video.key,
        account=here.account.name,
        provider=here.video.provider,
        state=state,
        hops_done=here.hops_done,
        current_ms=now_ms,
        target_ms=here.video.extend.to_ms,
        target_steps=here.video.extend.steps,
        is_branch=isinstance(here.video.source, BranchSource),
        hops_left=hops,
        end_ms=course.end_ms,
        may_fall_short=course.may_fall_short,
        micros_left=_costs(here, hops),
        due=due,
        running=running,
        blocker=blocker,
        extendable_until_ms=None if running or state is VideoState.COMPLETE else _extendable_until(here),
        choices=here.choices,
    )


def _price(here: Position, params: Mapping[str, object]) -> int | None:
    """Return the price of one hop in micro-units; None where there is none."""
    return here.account.price.quote(spec_of(here.video.provider).price_key(here.mode, params))


def _costs(here: Position, hops: tuple[int, int]) -> tuple[int, int] | None:
    """Return what so many more hops cost in micro-units; None where there is no price."""
    params = here.video.extend.hop_params(here.hops_done + 1)
    price = _price(here, params)
    return None if price is None else (hops[0] * price, hops[1] * price)


def _extendable_until(here: Position) -> int | None:
    life = spec_of(here.video.provider).source_life_ms
    if here.parent is None or here.parent.born_ms is None or life is None:
        return None
    return here.parent.born_ms + life


def _hops_left(here: Position) -> tuple[int, int]:
    now_ms = here.parent.duration_ms if here.parent else None
    return forecast(here.video, here.goal, now_ms, here.hops_done).hops
