"""The walk along the stored hops of a chain to its target, its next hop, or an edit that needs a decision. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.units import to_ms
from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource, OnChange, Video
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.goal import Goal, goal_of
from extend_pipeline.engine.plan.hop_names import Edited, Named, name_hop
from extend_pipeline.engine.plan.limits import unknown_kind
from extend_pipeline.engine.plan.model import Blocker, DuplicatePurchase, Parent, PlanInput, SourceView
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import LIVE, AttemptState
from extend_pipeline.ledger.write.renames_and_choices import Choice

_BOUGHT: Final = LIVE | {AttemptState.STORED}


@dataclass(frozen=True, slots=True)
class Position:
    """The position of a walk along a video's hops. `choices` are the paid steps so far that are used instead of edited
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
    """The next hop of a chain: its name, all attempts of the hop, and the tries of this name. `edits_failed_hop` says
    that an edit changes this hop, whose last try ended without a film."""

    hop: int
    name: str
    at_hop: Sequence[AttemptRow]
    tries: Sequence[AttemptRow]
    edits_failed_hop: bool


@dataclass(frozen=True, slots=True)
class Walk:
    """The end of a walk: its position, and why it stops there: at the target (None), at the next hop, or where the
    operator must decide."""

    position: Position
    stop: Step | Blocker | Edited | DuplicatePurchase | None


@dataclass(frozen=True, slots=True)
class Start:
    """The parent of a video's first hop. `undecided` says that an edit of the video above needs a decision."""

    parent: Parent
    undecided: bool = False


def change_policy(video: Video, account: Account, plan_input: PlanInput) -> OnChange:
    """Return what an edit of a paid step does. With another source, `keep` becomes `ask`, because no later hop could
    start from that source."""
    policy = account.on_change or plan_input.on_change
    return "ask" if policy == "keep" and _is_of_another_source(video, plan_input) else policy


def _is_of_another_source(video: Video, plan_input: PlanInput) -> bool:
    """Return whether all purchases of a video were made from another root source than the one in the catalogue, and no
    decision about that is stored."""
    if isinstance(video.source, BranchSource) or plan_input.sources.get(video.key, SourceView()).same_file_as_before:
        return False
    bought = [a for a in plan_input.attempts.get(video.key, ()) if a.hop == 1 and a.state in _BOUGHT]
    first = chain.hop_digest(chain.source_digest(video, plan_input.names), video.extend.hop_params(1))
    named = without_signature(video.source.source_id)
    decided = plan_input.names.chosen(video.key, first) is not None
    return bool(bought) and not decided and all(without_signature(a.root_video_id or "") != named for a in bought)


def walk(start: Position, plan_input: PlanInput, *, on_change: OnChange, hops: int | None = None) -> Walk:
    """Follow a chain from a position to its target, or for exactly `hops` hops."""
    position, video, goal = start, start.video, start.goal
    attempts = plan_input.attempts.get(video.key, ())
    same_source = plan_input.sources.get(video.key, SourceView()).same_file_as_before
    while True:
        parent = position.parent
        assert parent is not None
        if position.hops_done == hops or (hops is None and goal.is_passed(parent.duration_ms, position.hops_done)):
            return Walk(position, None)
        # within the tolerance nothing more is bought, but hops that were bought already count
        enough = hops is None and goal.is_reached(parent.duration_ms, position.hops_done)
        hop = position.hops_done + 1
        at_hop = [attempt for attempt in attempts if attempt.hop == hop]
        policy: OnChange = "keep" if enough else on_change
        named = name_hop(video, hop, parent, at_hop, names=plan_input.names, on_change=policy, same_source=same_source)
        if not isinstance(named, Named):
            return Walk(position, None if enough else named)
        tries = [attempt for attempt in at_hop if attempt.chain_digest == named.name]
        if enough and not any(attempt.state in _BOUGHT for attempt in tries):
            return Walk(position, None)
        if hops is None and (doubt := unknown_kind(position.account, position.hops_done, parent)) is not None:
            return Walk(position, doubt)
        if named.choice is not None:
            position = replace(position, choices=(*position.choices, named.choice))
        stored = next((attempt for attempt in tries if attempt.state is AttemptState.STORED), None)
        if stored is None:
            return Walk(position, Step(hop, named.name, at_hop, tries, named.edits_failed_hop))
        position = replace(position, hops_done=hop, parent=_after(stored, parent, named.name, plan_input))


def stored_hop(video: Video, hop: int, plan_input: PlanInput) -> Start | None:
    """Return a stored hop of a video as the start of a branch; None when it isn't stored. While an edit of the video
    needs a decision, the paid hop is returned."""
    account = plan_input.accounts[video.account]
    if isinstance(video.source, BranchSource):
        start = stored_hop(plan_input.catalogue[video.source.branch_of], video.source.hop, plan_input)
        if start is None:
            return None
    else:
        start = Start(root(video, plan_input.sources.get(video.key, SourceView()), plan_input.names))
    position = Position(video, account, goal_of(video, account), None, 0, start.parent)
    walked = walk(position, plan_input, on_change=change_policy(video, account, plan_input), hops=hop)
    undecided = start.undecided
    if isinstance(walked.stop, Edited):
        walked = walk(position, plan_input, on_change="keep", hops=hop)
        undecided = undecided or not (isinstance(walked.stop, Step) and walked.stop.edits_failed_hop)
    if walked.stop is not None or walked.position.parent is None:
        return None
    return Start(walked.position.parent, undecided)


def root(video: Video, source_view: SourceView, names: chain.Names) -> Parent:
    """Return a root source as a parent, with its measured length if there is one, else the declared length."""
    source = video.source
    assert not isinstance(source, BranchSource)
    length = source_view.probed_ms if source_view.probed_ms is not None else source.duration_ms
    born = None if source.created_at is None else to_ms(source.created_at)
    digest = chain.source_digest(video, names)
    return Parent(None, source.source_id, source.source_id, length, born, digest, file_ms=length, path=source_view.path)


def _after(stored: AttemptRow, previous: Parent, name: str, plan_input: PlanInput) -> Parent:
    return Parent(
        stored.attempt_id,
        stored.video_id,
        previous.root_video_id,
        stored.film_ms if stored.film_ms is not None else previous.duration_ms,
        stored.completed_at,
        name,
        file_ms=stored.probed_duration_ms,
        expires_ms=stored.expires_at,
        path=stored.film_path or stored.path,
        task_id=stored.task_id,
        kind=stored.output_kind,
        film_gone=stored.attempt_id in plan_input.without_film,
    )
