"""Follows a chain along its stored hops to where it stops: at its target, at its next hop, or at a question. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.units import to_ms
from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.config.model.changes import OnChange
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.goal import Goal, goal_of
from extend_pipeline.engine.plan.hop_names import Edited, Named, OtherAccount, name_hop
from extend_pipeline.engine.plan.limits import unknown_kind
from extend_pipeline.engine.plan.model import AttemptView, Blocker, Parent, PlanInput, SourceView
from extend_pipeline.ledger.states import LIVE, AttemptState
from extend_pipeline.ledger.write.names import Choice

_BOUGHT: Final = LIVE | {AttemptState.STORED}


@dataclass(frozen=True, slots=True)
class Position:
    """How far a video has come while it is walked. `choices` are the paid steps on the way that stand for edited
    ones."""

    video: Video
    account: Account
    goal: Goal
    mode: str | None
    hops_done: int
    parent: Parent | None
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """The next hop of a chain: its name, all attempts of the hop, and those of this name. `mends` says that an edit
    means this hop, whose last try ended without a film."""

    hop: int
    name: str
    at_hop: Sequence[AttemptView]
    tries: Sequence[AttemptView]
    mends: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a chain leads and where it stops: at its target (None), at its next hop, or where an operator must
    decide."""

    here: Position
    stop: Step | Blocker | Edited | OtherAccount | None


@dataclass(frozen=True, slots=True)
class Start:
    """What a video begins with. `undecided` says that an edit of the video above waits for a decision."""

    parent: Parent
    undecided: bool = False


def change_policy(video: Video, account: Account, given: PlanInput) -> OnChange:
    """Return what an edit of a paid step does. Another source is never kept unasked: no later hop can begin with it."""
    policy = account.on_change or given.on_change
    return "ask" if policy == "keep" and _is_of_another_source(video, given) else policy


def _is_of_another_source(video: Video, given: PlanInput) -> bool:
    """Return whether all that was bought of a video was made from another root source than the catalogue names, and
    nobody has decided about that."""
    if isinstance(video.source, BranchSource) or given.sources.get(video.key, SourceView()).same_file_as_before:
        return False
    bought = [a for a in given.attempts.get(video.key, ()) if a.hop == 1 and a.state in _BOUGHT]
    first = chain.hop_digest(chain.source_digest(video, given.names), video.extend.hop_params(1))
    named = without_signature(video.source.source_id)
    decided = given.names.chosen(video.key, first) is not None
    return bool(bought) and not decided and all(without_signature(a.root_video_id or "") != named for a in bought)


def walk(start: Position, given: PlanInput, *, on_change: OnChange, hops: int | None = None) -> Walk:
    """Follow a chain from a source to its target, or for so many hops."""
    here, video, goal = start, start.video, start.goal
    attempts = given.attempts.get(video.key, ())
    same_source = given.sources.get(video.key, SourceView()).same_file_as_before
    while True:
        parent = here.parent
        assert parent is not None
        if here.hops_done == hops or (hops is None and goal.is_passed(parent.duration_ms, here.hops_done)):
            return Walk(here, None)
        # within the tolerance nothing more is bought, and what was bought already counts
        enough = hops is None and goal.is_reached(parent.duration_ms, here.hops_done)
        hop = here.hops_done + 1
        at_hop = [attempt for attempt in attempts if attempt.hop == hop]
        policy: OnChange = "keep" if enough else on_change
        named = name_hop(video, hop, parent, at_hop, names=given.names, on_change=policy, same_source=same_source)
        if not isinstance(named, Named):
            return Walk(here, None if enough else named)
        tries = [attempt for attempt in at_hop if attempt.chain_digest == named.name]
        if enough and not any(attempt.state in _BOUGHT for attempt in tries):
            return Walk(here, None)
        if hops is None and (doubt := unknown_kind(here.account, here.hops_done, parent)) is not None:
            return Walk(here, doubt)
        if named.choice is not None:
            here = replace(here, choices=(*here.choices, named.choice))
        stored = next((attempt for attempt in tries if attempt.state is AttemptState.STORED), None)
        if stored is None:
            return Walk(here, Step(hop, named.name, at_hop, tries, named.mends))
        here = replace(here, hops_done=hop, parent=_after(stored, parent, named.name))


def stored_hop(video: Video, hop: int, given: PlanInput) -> Start | None:
    """Return a stored hop of a video as the start of another; None where it isn't there. While an edit of the video is
    undecided, it is the hop that was paid for."""
    account = given.accounts[video.account]
    if isinstance(video.source, BranchSource):
        start = stored_hop(given.catalogue[video.source.branch_of], video.source.hop, given)
        if start is None:
            return None
    else:
        start = Start(root(video, given.sources.get(video.key, SourceView()), given.names))
    here = Position(video, account, goal_of(video, account), None, 0, start.parent)
    way = walk(here, given, on_change=change_policy(video, account, given), hops=hop)
    undecided = start.undecided
    if isinstance(way.stop, Edited):
        way = walk(here, given, on_change="keep", hops=hop)
        undecided = undecided or not (isinstance(way.stop, Step) and way.stop.mends)
    if way.stop is not None or way.here.parent is None:
        return None
    return Start(way.here.parent, undecided)


def root(video: Video, seen: SourceView, names: chain.Names) -> Parent:
    """Return a root source by what is known of it: as it was measured, else as it was declared."""
    source = video.source
    assert not isinstance(source, BranchSource)
    length = seen.probed_ms if seen.probed_ms is not None else source.duration_ms
    born = None if source.created_at is None else to_ms(source.created_at)
    digest = chain.source_digest(video, names)
    return Parent(None, source.source_id, source.source_id, length, born, digest, file_ms=length, path=seen.path)


def _after(stored: AttemptView, before: Parent, name: str) -> Parent:
    return Parent(
        stored.attempt_id,
        stored.video_id,
        before.root_video_id,
        stored.output_ms if stored.output_ms is not None else before.duration_ms,
        stored.completed_at,
        name,
        file_ms=stored.file_ms,
        expires_ms=stored.expires_at,
        path=stored.film_path,
        task_id=stored.task_id,
        kind=stored.kind,
        film_gone=stored.film_gone,
    )
