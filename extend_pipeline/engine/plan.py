"""The plan: a pure function from catalogue, accounts, attempts and clock to what is due, what it costs, and what
can't be done and why. It decides nothing about money for good: the claim checks everything again where nobody else
can write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.units import to_ms
from extend_pipeline.config.accounts import Account
from extend_pipeline.config.catalogue import BranchSource, Source, Video
from extend_pipeline.engine import chain, rules
from extend_pipeline.engine.goal import Goal, forecast, goal_of, past_at_most
from extend_pipeline.engine.judge import Due, Stopped, Underway, judge
from extend_pipeline.engine.obstacles import impossible
from extend_pipeline.engine.plan_types import (
    AccountView,
    AttemptView,
    DueStep,
    Hindrance,
    Obstacle,
    Parent,
    Plan,
    PlanInput,
    SourceView,
    VideoPlan,
)
from extend_pipeline.engine.rooms import Room
from extend_pipeline.ledger.states import LIVE, AttemptState, VideoState

_BOUGHT: Final = LIVE | {AttemptState.STORED}


@dataclass(frozen=True, slots=True)
class _Position:
    """How far a video has come while it is walked."""

    video: Video
    account: Account
    goal: Goal
    mode: str | None
    hops_done: int
    parent: Parent | None


def plan(given: PlanInput) -> Plan:
    """Plan every video of the input, in its order; earlier videos take slots and budget first."""
    rooms = {
        name: Room(
            account,
            given.account_views.get(name, AccountView()),
            given.now_ms,
            given.everything_paused,
            given.held.get(name),
        )
        for name, account in given.accounts.items()
    }
    return Plan(given.now_ms, tuple(_plan_video(video, given, rooms[video.account]) for video in given.videos))


def root_source(video: Video, catalogue: Mapping[str, Video]) -> Source:
    """The source at the top of a video's branches."""
    source = video.source
    while isinstance(source, BranchSource):
        source = catalogue[source.branch_of].source
    return source


def _plan_video(video: Video, given: PlanInput, room: Room) -> VideoPlan:
    account = given.accounts[video.account]
    goal = goal_of(video, account)
    source = root_source(video, given.catalogue)
    start = _start_of(video, source, given)
    if isinstance(start, Hindrance):
        held = room.held if start.obstacle is Obstacle.SOURCE_UNCHECKED else None
        return _told(_Position(video, account, goal, source.mode, 0, None), held or start)
    here = _Position(video, account, goal, source.mode, 0, start)
    mine = given.attempts.get(video.key, ())
    parent = start
    while not goal.is_passed(parent.duration_ms, here.hops_done):
        hop = here.hops_done + 1
        name = chain.hop_digest(parent.digest, video.extend.hop_params(hop))
        at_hop = [a for a in mine if a.hop == hop]
        tries = [a for a in at_hop if a.chain_digest == name]
        # within the tolerance nothing more is bought, and what was bought already counts
        if goal.is_reached(parent.duration_ms, here.hops_done) and not any(a.state in _BOUGHT for a in tries):
            break
        if (doubt := rules.unknown_kind(here.account, here.hops_done, parent)) is not None:
            return _told(here, doubt)
        stored = next((a for a in tries if a.state is AttemptState.STORED), None)
        if stored is None:
            return _next(here, hop, name, at_hop, tries, given.now_ms, room)
        parent = _after(stored, parent.root_video_id, parent.duration_ms, name)
        here = replace(here, hops_done=hop, parent=parent)
    return _told(here, None, state=VideoState.COMPLETE)


def _start_of(video: Video, source: Source, given: PlanInput) -> Parent | Hindrance:
    if not isinstance(video.source, BranchSource):
        goal = goal_of(video, given.accounts[video.account])
        return _root(video, goal, source, given.sources.get(video.key, SourceView()))
    above, hop = given.catalogue[video.source.branch_of], video.source.hop
    names = chain.digests(above, hop, videos=given.catalogue)
    attempts = [a for a in given.attempts.get(above.key, ()) if a.hop == hop and a.chain_digest == names[-1]]
    stored = next((a for a in attempts if a.state is AttemptState.STORED), None)
    if stored is not None:
        return _after(stored, stored.root_video_id, None, names[-1])
    state = _parent_state(above, hop, given)
    if state is None:
        return Hindrance(Obstacle.PARENT, f"hop {hop} of {above.key} is not there yet", "nothing: it comes first")
    return state


def _root(video: Video, goal: Goal, source: Source, seen: SourceView) -> Parent | Hindrance:
    """A root source, by what was measured where it was measured, and by what was declared otherwise."""
    length = seen.probed_ms if seen.probed_ms is not None else source.duration_ms
    if seen.probed_ms is None and (rules.measures_source(video) or (length is None and goal.needs_length)):
        if seen.fault is None:
            todo = "nothing: advance fetches and measures it first, which costs nothing"
            return Hindrance(Obstacle.SOURCE_UNCHECKED, "the source has not been measured yet", todo)
        if rules.measures_source(video):
            todo = "mend the source's URL in the catalogue; it is tried again every ten minutes"
            return Hindrance(Obstacle.UNREACHABLE_SOURCE, f"the source can't be fetched: {seen.fault}", todo)
        message = f"nobody knows how long the source is, and it can't be fetched: {seen.fault}"
        return Hindrance(Obstacle.UNKNOWN_LENGTH, message, "give source.duration, or say extend.steps instead of to")
    born = None if source.created_at is None else to_ms(source.created_at)
    digest = chain.source_digest(video)
    return Parent(None, source.source_id, source.source_id, length, born, digest, file_ms=length, path=seen.path)


def _parent_state(above: Video, hop: int, given: PlanInput) -> Hindrance | None:
    """Why hop `hop` of the video above will not come by itself; None where it will."""
    silent = PlanInput(
        now_ms=given.now_ms,
        videos=[above],
        catalogue=given.catalogue,
        accounts=given.accounts,
        attempts=given.attempts,
        account_views=given.account_views,
        everything_paused=given.everything_paused,
        sources=given.sources,
        held=given.held,
    )
    told = plan(silent).videos[0]
    if told.state is VideoState.COMPLETE and told.hops_done < hop:
        message = f"{above.key} reaches its target with {told.hops_done} hops, so its hop {hop} will never be made"
        return Hindrance(
            Obstacle.PARENT_BLOCKED, message, f"branch from a lower hop, or raise the target of {above.key}"
        )
    if told.hindrance is not None and told.hindrance.obstacle.is_local:
        return told.hindrance
    if told.hindrance is not None and told.hindrance.obstacle.needs_person:
        message = f"hop {hop} of {above.key} is not there, and {above.key} waits: {told.hindrance.message}"
        return Hindrance(Obstacle.PARENT_BLOCKED, message, told.hindrance.todo)
    if told.hindrance is not None and told.hindrance.obstacle is Obstacle.DAY_BUDGET:
        message = f"hop {hop} of {above.key} is not there, and {above.key} waits: {told.hindrance.message}"
        return replace(told.hindrance, message=message)
    return None


def _after(stored: AttemptView, root: str | None, before_ms: int | None, name: str) -> Parent:
    return Parent(
        stored.attempt_id,
        stored.video_id,
        root,
        stored.output_ms if stored.output_ms is not None else before_ms,
        stored.completed_at,
        name,
        file_ms=stored.file_ms,
        expires_ms=stored.expires_at,
        path=stored.film_path,
        task_id=stored.task_id,
        kind=stored.kind,
    )


def _next(
    here: _Position,
    hop: int,
    name: str,
    at_hop: list[AttemptView],
    tries: list[AttemptView],
    now_ms: int,
    room: Room,
) -> VideoPlan:
    other = next((a for a in at_hop if a.chain_digest != name and a.state in LIVE), None)
    if other is not None:
        held = judge(f"{here.video.key}/{hop}", [other], here.account, now_ms)
        if isinstance(held, Stopped) and held.hindrance.obstacle.needs_person:
            return _told(here, held.hindrance, running=other)
        message = f"hop {hop} is still running with its earlier parameters"
        return _told(
            here,
            Hindrance(Obstacle.EARLIER_TAKE, message, "nothing: it is paid, so it is fetched first"),
            running=other,
        )
    judgement = judge(f"{here.video.key}/{hop}", tries, here.account, now_ms)
    match judgement:
        case Underway(attempt):
            return _told(here, None, state=VideoState.WORKING, running=attempt)
        case Stopped(hindrance, attempt):
            return _told(here, hindrance, running=attempt)
        case Due(generation, try_no, last):
            pass
    parent = here.parent
    assert parent is not None
    params = here.video.extend.hop_params(hop)
    price = here.account.price.quote(mode=here.mode, params=params)
    if price is None:
        message = f"account {here.account.name} has no price for mode {here.mode or 'that was asked for'}"
        todo = "give price.per_extension in accounts.yaml; nothing is submitted at an unknown price"
        return _told(here, Hindrance(Obstacle.NO_PRICE, message, todo))
    source = (
        past_at_most(here.video, here.goal, hop, parent)
        or impossible(here.video, hop, parent, now_ms)
        or rules.next_source(here.account, parent, now_ms)
    )
    blocked = source if isinstance(source, Hindrance) else room.take(price)
    if isinstance(source, Hindrance) or blocked is not None:
        return _told(here, blocked)
    step = DueStep(
        video=here.video,
        hop=hop,
        generation=generation,
        try_no=try_no,
        chain_digest=name,
        root_video_id=parent.root_video_id,
        parent_attempt_id=parent.attempt_id,
        parent_video_id=source,
        parent_task_id=parent.task_id or _task_of(here.video, parent),
        parent_duration_ms=parent.duration_ms,
        params=params,
        mode=here.mode,
        predicted_micros=price,
        last_attempt_id=last.attempt_id if last else None,
        paid_again=any(a.completed_at is not None for a in at_hop),
    )
    return _told(here, None, state=VideoState.WORKING, due=step)


def _task_of(video: Video, parent: Parent) -> str | None:
    """The task that made a root source, where the catalogue says so (upstream/002 may want it beside the video)."""
    return None if parent.attempt_id is not None else getattr(video.source, "task_id", None)


def _told(
    here: _Position,
    hindrance: Hindrance | None,
    *,
    state: VideoState | None = None,
    due: DueStep | None = None,
    running: AttemptView | None = None,
) -> VideoPlan:
    if state is None:
        person = hindrance is not None and hindrance.obstacle.needs_person
        state = VideoState.BLOCKED if person else VideoState.WAITING
    now_ms = here.parent.duration_ms if here.parent else None
    course = forecast(here.video, here.goal, now_ms, here.hops_done)
    hops = (0, 0) if state is VideoState.COMPLETE else course.hops
    params = here.video.extend.hop_params(here.hops_done + 1)
    price = here.account.price.quote(mode=here.mode, params=params)
    return VideoPlan(
        key=here.video.key,
        account=here.account.name,
        provider=here.video.provider,
        state=state,
        hops_done=here.hops_done,
        current_ms=now_ms,
        target_ms=here.video.extend.to_ms,
        target_steps=here.video.extend.steps,
        hops_left=hops,
        end_ms=course.end_ms,
        may_fall_short=course.may_fall_short,
        micros_left=None if price is None else (hops[0] * price, hops[1] * price),
        due=due,
        running=running,
        hindrance=hindrance,
        extendable_until_ms=None if running or state is VideoState.COMPLETE else _extendable_until(here),
    )


def _extendable_until(here: _Position) -> int | None:
    life = rules.source_life_ms(here.video.provider)
    if here.parent is None or here.parent.born_ms is None or life is None:
        return None
    return here.parent.born_ms + life
