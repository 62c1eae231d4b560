"""The plan: a pure function from catalogue, accounts, attempts and clock to what is due, what it costs, and what
can't be done and why. It decides nothing about money for good: the claim checks everything again where nobody else
can write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.units import from_ms, to_ms
from extend_pipeline.config.accounts import Account
from extend_pipeline.config.catalogue import BranchSource, Source, Video
from extend_pipeline.engine import chain
from extend_pipeline.engine.judge import Due, Stopped, Underway, judge
from extend_pipeline.engine.plan_types import (
    AccountView,
    AttemptView,
    DueStep,
    Hindrance,
    Obstacle,
    Plan,
    PlanInput,
    VideoPlan,
)
from extend_pipeline.engine.rooms import DAY_MS, Room
from extend_pipeline.ledger.states import LIVE, AttemptState, VideoState

SOURCE_LIFE_MS: Final = 30 * DAY_MS  # upstream/000: videos are cleared 30 days after generation
LENGTH_CAP_MS: Final = 180_000  # upstream/000: 3 minutes; unsure whether source or result, so the stricter: the result
LEAST_ADDED_MS: Final = 4_000  # upstream/000: each extension adds 4 to 5 seconds
MOST_ADDED_MS: Final = 5_000
CLOSE_ENOUGH_MS: Final = 100  # a frame or two short of the target is not worth another paid hop


@dataclass(frozen=True, slots=True)
class Parent:
    """What the next hop starts from: a source, or a stored result."""

    attempt_id: str | None
    video_id: str | None
    root_video_id: str | None
    duration_ms: int
    born_ms: int | None
    digest: str


@dataclass(frozen=True, slots=True)
class _Position:
    """How far a video has come while it is walked."""

    video: Video
    account: Account
    mode: str
    hops_done: int
    parent: Parent | None


def plan(given: PlanInput) -> Plan:
    """Plan every video of the input, in its order; earlier videos take slots and budget first."""
    rooms = {
        name: Room(account, given.account_views.get(name, AccountView()), given.now_ms, given.everything_paused)
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
    source = root_source(video, given.catalogue)
    start = _start_of(video, source, given)
    if isinstance(start, Hindrance):
        return _told(_Position(video, account, source.mode, 0, None), start)
    here = _Position(video, account, source.mode, 0, start)
    mine = given.attempts.get(video.key, ())
    parent = start
    while not _at_target(video, parent.duration_ms, here.hops_done):
        hop = here.hops_done + 1
        name = chain.hop_digest(parent.digest, video.extend.hop_params(hop))
        at_hop = [a for a in mine if a.hop == hop]
        tries = [a for a in at_hop if a.chain_digest == name]
        stored = next((a for a in tries if a.state is AttemptState.STORED), None)
        if stored is None:
            return _next(here, hop, name, at_hop, tries, given.now_ms, room)
        parent = _after(stored, parent, name)
        here = _Position(video, account, source.mode, hop, parent)
    return _told(here, None, state=VideoState.COMPLETE)


def _start_of(video: Video, source: Source, given: PlanInput) -> Parent | Hindrance:
    if not isinstance(video.source, BranchSource):
        born = None if source.created_at is None else to_ms(source.created_at)
        return Parent(None, source.video_id, source.video_id, source.duration_ms, born, chain.source_digest(video))
    above, hop = given.catalogue[video.source.branch_of], video.source.hop
    names = chain.digests(above, hop, videos=given.catalogue)
    attempts = [a for a in given.attempts.get(above.key, ()) if a.hop == hop and a.chain_digest == names[-1]]
    stored = next((a for a in attempts if a.state is AttemptState.STORED), None)
    if stored is not None:
        return Parent(
            stored.attempt_id,
            stored.video_id,
            stored.root_video_id,
            stored.output_ms or 0,
            stored.completed_at,
            names[-1],
        )
    state = _parent_state(above, hop, given)
    if state is None:
        return Hindrance(Obstacle.PARENT, f"hop {hop} of {above.key} is not there yet", "nothing: it comes first")
    return state


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
    )
    told = plan(silent).videos[0]
    if told.state is VideoState.COMPLETE and told.hops_done < hop:
        message = f"{above.key} reaches its target with {told.hops_done} hops, so its hop {hop} will never be made"
        return Hindrance(
            Obstacle.PARENT_BLOCKED, message, f"branch from a lower hop, or raise the target of {above.key}"
        )
    if told.hindrance is not None and told.hindrance.obstacle.needs_person:
        message = f"hop {hop} of {above.key} is not there, and {above.key} waits: {told.hindrance.message}"
        return Hindrance(Obstacle.PARENT_BLOCKED, message, told.hindrance.todo)
    if told.hindrance is not None and told.hindrance.obstacle is Obstacle.DAY_BUDGET:
        message = f"hop {hop} of {above.key} is not there, and {above.key} waits: {told.hindrance.message}"
        return replace(told.hindrance, message=message)
    return None


def _at_target(video: Video, duration_ms: int, hops_done: int) -> bool:
    if video.extend.steps is not None:
        return hops_done >= video.extend.steps
    assert video.extend.to_ms is not None
    return duration_ms + CLOSE_ENOUGH_MS >= video.extend.to_ms


def _after(stored: AttemptView, parent: Parent, name: str) -> Parent:
    duration = stored.output_ms if stored.output_ms is not None else parent.duration_ms
    return Parent(stored.attempt_id, stored.video_id, parent.root_video_id, duration, stored.completed_at, name)


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
    price = here.account.price.quote(mode=here.mode)
    blocked = _impossible(here, price, now_ms)
    parent = here.parent
    if blocked is None and parent is not None and parent.video_id is not None and price is not None:
        blocked = room.take(price)
        if blocked is None:
            step = DueStep(
                video=here.video,
                hop=hop,
                generation=generation,
                try_no=try_no,
                chain_digest=name,
                root_video_id=parent.root_video_id,
                parent_attempt_id=parent.attempt_id,
                parent_video_id=parent.video_id,
                parent_duration_ms=parent.duration_ms,
                params=here.video.extend.hop_params(hop),
                mode=here.mode,
                predicted_micros=price,
                last_attempt_id=last.attempt_id if last else None,
                paid_again=any(a.completed_at is not None for a in at_hop),
            )
            return _told(here, None, state=VideoState.WORKING, due=step)
    return _told(here, blocked)


def _impossible(here: _Position, price: int | None, now_ms: int) -> Hindrance | None:
    """What no waiting will mend: checked before anything is spent."""
    parent, account = here.parent, here.account
    assert parent is not None
    if price is None:
        message = f"account {account.name} has no price for mode {here.mode}"
        return Hindrance(Obstacle.NO_PRICE, message, "give price.per_extension for that mode in accounts.yaml")
    if parent.video_id is None:
        message = "the last result came without a video id, so it can't be extended further"
        return Hindrance(
            Obstacle.NOT_EXTENDABLE, message, "ask the reseller for the id, or lower the target to what is there"
        )
    if parent.born_ms is not None and now_ms >= parent.born_ms + SOURCE_LIFE_MS:
        ended = from_ms(parent.born_ms + SOURCE_LIFE_MS)
        what = "its source" if parent.attempt_id is None else f"hop {here.hops_done}"
        message = f"{what} could be extended until {ended:%Y-%m-%d %H:%M} UTC; the provider keeps videos for 30 days"
        return Hindrance(
            Obstacle.SOURCE_EXPIRED, message, "make the source anew and give its new video_id and created_at"
        )
    if parent.duration_ms + MOST_ADDED_MS > LENGTH_CAP_MS:
        message = f"it is {parent.duration_ms / 1000:g} s long; another hop could pass the provider's 180 s"
        return Hindrance(Obstacle.LENGTH_CAP, message, "lower the target")
    return None


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
    hops = (0, 0) if state is VideoState.COMPLETE else _hops_left(here)
    price = here.account.price.quote(mode=here.mode)
    return VideoPlan(
        key=here.video.key,
        account=here.account.name,
        provider=here.video.provider,
        state=state,
        hops_done=here.hops_done,
        current_ms=here.parent.duration_ms if here.parent else None,
        target_ms=here.video.extend.to_ms,
        target_steps=here.video.extend.steps,
        hops_left=hops,
        micros_left=None if price is None else (hops[0] * price, hops[1] * price),
        due=due,
        running=running,
        hindrance=hindrance,
    )


def _hops_left(here: _Position) -> tuple[int, int]:
    extend = here.video.extend
    if extend.steps is not None:
        left = extend.steps - here.hops_done
        return left, left
    if here.parent is None or extend.to_ms is None:
        return 0, 0
    missing = extend.to_ms - CLOSE_ENOUGH_MS - here.parent.duration_ms
    return -(-missing // MOST_ADDED_MS), -(-missing // LEAST_ADDED_MS)
