"""The plan: a pure function from catalogue, accounts, attempts and clock to the due steps, their costs, and the blocked
videos with their reasons. It reserves no money: the claim evaluates the rules again in a transaction that no other
process can write beside."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from extend_pipeline.base.wording import counted
from extend_pipeline.config.checks.purchase import purchase_digest
from extend_pipeline.config.model.catalogue import BranchSource, Video, root_source
from extend_pipeline.config.model.source import Source
from extend_pipeline.engine.guards.disk_space import DiskSpace
from extend_pipeline.engine.plan.budget import AccountBudget, DiskBudget, account_budget
from extend_pipeline.engine.plan.goal import Goal, forecast, goal_of, past_at_most
from extend_pipeline.engine.plan.hop_names import Edited
from extend_pipeline.engine.plan.hop_state import Blocked, InFlight, Ready, classify_hop
from extend_pipeline.engine.plan.limits import next_source, provider_limit
from extend_pipeline.engine.plan.model import (
    Blocker,
    DueStep,
    DuplicatePurchase,
    Edit,
    Parent,
    Plan,
    PlanInput,
    Purchase,
    SourceView,
    VideoPlan,
)
from extend_pipeline.engine.plan.questions import (
    current_parameters,
    misnamed,
    paid_parameters,
    repurchase,
    same_purchase,
)
from extend_pipeline.engine.plan.walk import Position, Start, Step, Walk, change_policy, root, stored_hop, walk
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import LIVE, VideoState
from extend_pipeline.ledger.write.renames_and_choices import Choice
from extend_pipeline.providers.registry import spec_of


@dataclass(frozen=True, slots=True)
class NextHop:
    """A hop that its own video allows to buy; the account's limits and duplicates are not checked yet."""

    position: Position
    step: Step
    ready: Ready
    price: int
    source: str
    purchase: str


def plan(plan_input: PlanInput) -> Plan:
    """Plan every video of the input, in its order; earlier videos reserve slots and budget first. A finished video's
    plan is in the input."""
    disk = DiskBudget(plan_input.disk)
    budgets = {name: account_budget(account, plan_input, disk) for name, account in plan_input.accounts.items()}
    walked = {video.key: _plan_video(video, plan_input, budgets[video.account]) for video in plan_input.videos}
    planned = (walked.get(key) or plan_input.finished[key] for key in plan_input.order or walked)
    return Plan(plan_input.now_ms, tuple(planned), plan_input.ledger, plan_input.complete, plan_input.running)


def next_hops(plan_input: PlanInput) -> dict[str, VideoPlan | NextHop]:
    """Return the next hop of each video, or its plan when no hop may be bought now. A plan of the same input can reuse
    them."""
    return {video.key: _next_hop(video, plan_input) for video in plan_input.videos}


def next_purchases(hops: Mapping[str, VideoPlan | NextHop]) -> dict[str, Purchase]:
    """Return the purchase that the next hop of each video would make, by video, in the order of the input."""
    return {key: Purchase(hop.step.hop, hop.purchase) for key, hop in hops.items() if isinstance(hop, NextHop)}


def _plan_video(video: Video, plan_input: PlanInput, budget: AccountBudget) -> VideoPlan:
    next_hop = plan_input.next_hops.get(video.key) or _next_hop(video, plan_input)
    if isinstance(next_hop, VideoPlan):
        return next_hop
    position, step = next_hop.position, next_hop.step
    duplicate = plan_input.duplicates.get(video.key)
    blocker = None if duplicate is None else same_purchase(video, step.hop, duplicate, plan_input)
    if (left := plan_input.misnamed.get(video.key)) is not None:
        blocker = misnamed(video, left)
    if (blocker := blocker or budget.try_reserve(next_hop.price)) is not None:
        return _video_plan(position, blocker)
    parent = position.parent
    assert parent is not None
    due = DueStep(
        video=video,
        hop=step.hop,
        generation=next_hop.ready.generation,
        try_no=next_hop.ready.try_no,
        chain_digest=step.name,
        root_video_id=parent.root_video_id,
        parent_attempt_id=parent.attempt_id,
        parent_video_id=next_hop.source,
        parent_task_id=parent.task_id or _task_of(video, parent),
        parent_duration_ms=parent.duration_ms,
        params=video.extend.hop_params(step.hop),
        mode=position.mode,
        predicted_micros=next_hop.price,
        last_attempt_id=next_hop.ready.last.attempt_id if next_hop.ready.last else None,
        tries_seen=len(step.at_hop),
        paid_again=any(a.completed_at is not None for a in step.at_hop),
        named_as=plan_input.names.video(video.key),
        purchase=next_hop.purchase,
        choices=position.choices,
    )
    return _video_plan(position, None, state=VideoState.WORKING, due=due)


def _next_hop(video: Video, plan_input: PlanInput) -> VideoPlan | NextHop:
    """Walk a video to its next hop. Return the video's plan when nothing may be bought for it now, apart from the
    account's limits."""
    account = plan_input.accounts[video.account]
    goal = goal_of(video, account)
    source = root_source(video, plan_input.catalogue)
    start = _start_of(video, goal, source, plan_input)
    position = Position(video, account, goal, source.mode, 0, None)
    if isinstance(start, Blocker):
        if start.reason is BlockReason.SOURCE_UNCHECKED:  # sources are not measured while nothing may be submitted
            return _video_plan(position, plan_input.ledger or plan_input.process_blockers.get(account.name) or start)
        return _video_plan(position, start)
    position = replace(position, parent=start.parent)
    walked = walk(position, plan_input, on_change=change_policy(video, account, plan_input))
    if isinstance(walked.stop, Edited):
        kept = walk(position, plan_input, on_change="keep")
        if not (isinstance(kept.stop, Step) and kept.stop.edits_failed_hop):
            return _ask(walked, walked.stop, kept)
        walked = kept  # the paid chain ends at a failed hop, so the edit is of that hop
    match walked.stop:
        case None:
            return _video_plan(walked.position, None, state=VideoState.COMPLETE)
        case Blocker():
            return _video_plan(walked.position, walked.stop)
        case DuplicatePurchase():
            return _video_plan(walked.position, same_purchase(video, walked.stop.hop, walked.stop, plan_input))
        case Edited():
            raise AssertionError("an edit is handled before")
        case Step():
            return _step_ahead(walked, walked.stop, plan_input, start.undecided)


def _ask(walked: Walk, edited: Edited, kept: Walk) -> VideoPlan:
    """Return the plan of a video whose edit would pay again and needs a decision."""
    video, hop = walked.position.video, walked.position.hops_done + 1
    keep_hops, pay_hops = _hops_left(kept.position), _hops_left(walked.position)
    running = edited.paid if edited.paid.state in LIVE else None
    if isinstance(kept.stop, Step) and kept.stop.tries and kept.stop.tries[-1].state in LIVE:
        running = kept.stop.tries[-1]
        keep_hops = max(keep_hops[0] - 1, 0), max(keep_hops[1] - 1, 0)
    edit = Edit(
        hop=hop,
        paid_for=paid_parameters(video, edited.paid),
        now=current_parameters(video, hop),
        kept_hops=kept.position.hops_done - walked.position.hops_done,
        keep=kept.position.choices,
        keep_hops=keep_hops,
        keep_micros=_costs(kept.position, keep_hops),
        pay=(Choice(hop, edited.digest, edited.digest),),
        pay_hops=pay_hops,
        pay_micros=_costs(walked.position, pay_hops),
    )
    video_plan = _video_plan(kept.position, repurchase(video, kept.position.account, edit), running=running)
    micros = None
    if edit.keep_micros is not None and edit.pay_micros is not None:
        micros = edit.keep_micros[0], edit.pay_micros[1]
    choices = walked.position.choices  # choices after the undecided edit must not be stored
    return replace(video_plan, edit=edit, choices=choices, hops_left=(keep_hops[0], pay_hops[1]), micros_left=micros)


def _start_of(video: Video, goal: Goal, source: Source, plan_input: PlanInput) -> Start | Blocker:
    if not isinstance(video.source, BranchSource):
        source_view = plan_input.sources.get(video.key, SourceView())
        blocker = _unmeasured(video, goal, source, source_view, plan_input.disk)
        return blocker or Start(root(video, source_view, plan_input.names))
    above, hop = plan_input.catalogue[video.source.branch_of], video.source.hop
    if (start := stored_hop(above, hop, plan_input)) is not None:
        return start
    message = f"hop {hop} of {above.key} is not there yet"
    return _parent_state(above, hop, plan_input) or Blocker(BlockReason.PARENT, message, "nothing: it comes first")


def _unmeasured(
    video: Video, goal: Goal, source: Source, source_view: SourceView, disk: DiskSpace | None
) -> Blocker | None:
    """Return a blocker when a root source has not been measured and its length must be known, else None."""
    has_range = spec_of(video.provider).source_range_ms is not None
    if source_view.probed_ms is not None or not (has_range or (source.duration_ms is None and goal.needs_length)):
        return None
    if source_view.fault is None:
        if (blocker := DiskBudget(disk).blocker()) is not None:
            return blocker
        todo = "nothing: advance fetches and measures it first, which costs nothing"
        return Blocker(BlockReason.SOURCE_UNCHECKED, "the source has not been measured yet", todo)
    if has_range:
        todo = "fix the source's URL in the catalogue; it is tried again every ten minutes"
        return Blocker(BlockReason.UNREACHABLE_SOURCE, f"the source can't be fetched: {source_view.fault}", todo)
    message = f"the length of the source is unknown, and it can't be fetched: {source_view.fault}"
    return Blocker(BlockReason.UNKNOWN_LENGTH, message, "give source.duration, or say extend.steps instead of to")


def _parent_state(above: Video, hop: int, plan_input: PlanInput) -> Blocker | None:
    """Return why hop `hop` of the video above needs the operator or another day; None when it doesn't."""
    parent_plan = plan(replace(plan_input, videos=[above], next_hops={}, finished={}, order=())).videos[0]
    if parent_plan.state is VideoState.COMPLETE and parent_plan.hops_done < hop:
        hops = counted(parent_plan.hops_done, "hop")
        message = f"{above.key} reaches its target with {hops}, so its hop {hop} will never be made"
        todo = f"branch from a lower hop, or raise the target of {above.key}"
        return Blocker(BlockReason.PARENT_BLOCKED, message, todo)
    blocker = parent_plan.blocker
    if blocker is None or blocker.reason.is_local:
        return blocker
    message = f"hop {hop} of {above.key} is not there, and {above.key} waits: {blocker.message}"
    if blocker.reason.needs_person:
        return Blocker(BlockReason.PARENT_BLOCKED, message, blocker.todo)
    return replace(blocker, message=message) if blocker.reason is BlockReason.DAY_BUDGET else None


def _step_ahead(walked: Walk, step: Step, plan_input: PlanInput, undecided: bool) -> VideoPlan | NextHop:
    position, hop = walked.position, step.hop
    where = f"{position.video.key}/{hop}"
    other = next((a for a in step.at_hop if a.chain_digest != step.name and a.state in LIVE), None)
    if other is not None:
        other_state = classify_hop(where, [other], plan_input.looks, position.account, plan_input.now_ms)
        if isinstance(other_state, Blocked) and other_state.blocker.reason.needs_person:
            return _video_plan(position, other_state.blocker, running=other)
        message = f"hop {hop} is still running with its earlier parameters"
        blocker = Blocker(BlockReason.EARLIER_TAKE, message, "nothing: it is paid, so it is fetched first")
        return _video_plan(position, blocker, running=other)
    hop_state = classify_hop(where, step.tries, plan_input.looks, position.account, plan_input.now_ms)
    match hop_state:
        case InFlight(attempt):
            return _video_plan(position, None, state=VideoState.WORKING, running=attempt)
        case Blocked(blocker, attempt):
            return _video_plan(position, blocker, running=attempt)
        case Ready():
            pass
    parent = position.parent
    assert parent is not None
    if undecided:
        message = "an edit of the video that it branches off is undecided"
        return _video_plan(position, Blocker(BlockReason.PARENT_BLOCKED, message, "decide about that video first"))
    params = position.video.extend.hop_params(hop)
    price = _price(position, params)
    if price is None:
        what = f"mode {position.mode}" if position.mode else "this extension"
        message = f"account {position.account.name} has no price for {what}"
        todo = "give price.per_extension in accounts.yaml; nothing is submitted at an unknown price"
        return _video_plan(position, Blocker(BlockReason.NO_PRICE, message, todo))
    source = (
        past_at_most(position.video, position.goal, hop, parent)
        or provider_limit(position.video, hop, parent, plan_input.now_ms)
        or next_source(position.account, parent, plan_input.now_ms)
    )
    if isinstance(source, Blocker):
        return _video_plan(position, source)
    return NextHop(position, step, hop_state, price, source, purchase_digest(position.video.provider, source, params))


def _task_of(video: Video, parent: Parent) -> str | None:
    """Return the id of the task that made a root source, if the catalogue gives it. Some gateways require it beside the
    video id (docs/upstream/kling-gateway.md, "Submit")."""
    return None if parent.attempt_id is not None else getattr(video.source, "task_id", None)


def _video_plan(
    position: Position,
    blocker: Blocker | None,
    *,
    state: VideoState | None = None,
    due: DueStep | None = None,
    running: AttemptRow | None = None,
) -> VideoPlan:
    if state is None:
        needs_person = blocker is not None and blocker.reason.needs_person
        state = VideoState.BLOCKED if needs_person else VideoState.WAITING
    current_ms = position.parent.duration_ms if position.parent else None
    expected = forecast(position.video, position.goal, current_ms, position.hops_done)
    hops = (0, 0) if state is VideoState.COMPLETE else expected.hops
    return VideoPlan(
        key=position.video.key,
        account=position.account.name,
        provider=position.video.provider,
        state=state,
        hops_done=position.hops_done,
        current_ms=current_ms,
        target_ms=position.video.extend.to_ms,
        target_steps=position.video.extend.steps,
        is_branch=isinstance(position.video.source, BranchSource),
        hops_left=hops,
        end_ms=expected.end_ms,
        may_fall_short=expected.may_fall_short,
        micros_left=_costs(position, hops),
        due=due,
        running=running,
        blocker=blocker,
        extendable_until_ms=None if running or state is VideoState.COMPLETE else _extendable_until(position),
        choices=position.choices,
    )


def _price(position: Position, params: Mapping[str, object]) -> int | None:
    """Return the price of one hop in micro-units; None when the account has none for it."""
    return position.account.price.quote(spec_of(position.video.provider).price_key(position.mode, params))


def _costs(position: Position, hops: tuple[int, int]) -> tuple[int, int] | None:
    """Return the cost of a range of further hops in micro-units, (least, most); None without a price."""
    params = position.video.extend.hop_params(position.hops_done + 1)
    price = _price(position, params)
    return None if price is None else (hops[0] * price, hops[1] * price)


def _extendable_until(position: Position) -> int | None:
    life = spec_of(position.video.provider).source_life_ms
    if position.parent is None or position.parent.born_ms is None or life is None:
        return None
    return position.parent.born_ms + life


def _hops_left(position: Position) -> tuple[int, int]:
    current_ms = position.parent.duration_ms if position.parent else None
    return forecast(position.video, position.goal, current_ms, position.hops_done).hops
