"""Names one hop of a chain: by what the catalogue asks for, or by the paid step that stands for it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.config.checks.purchase import purchase_digest, words_digest
from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.config.model.changes import OnChange
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.chain import Names
from extend_pipeline.engine.plan.model import AttemptView, Parent
from extend_pipeline.ledger.states import LIVE, AttemptState
from extend_pipeline.ledger.write.names import Choice

S = AttemptState

BRINGS: Final = frozenset({*LIVE, S.STORED})
"""States of an attempt that has brought a film, or may still bring one."""

_STANDS: Final = BRINGS | {S.FAILED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF}
"""States of an attempt that was paid for, or may have been: written otherwise, the same words are no edit of it."""


@dataclass(frozen=True, slots=True)
class Named:
    """The hop's name. `choice` tells where a paid step stands for what the catalogue asks for; `mends` says that the
    edit means this hop, whose last try ended without a film."""

    name: str
    choice: Choice | None = None
    mends: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    """The catalogue asks for another step than `paid`, which brought a film or may still bring one."""

    wanted: str
    paid: AttemptView


@dataclass(frozen=True, slots=True)
class OtherAccount:
    """The same step of this video was bought with another account, `paid` says by which attempt."""

    paid: AttemptView


def name_hop(
    video: Video,
    hop: int,
    parent: Parent,
    at_hop: Sequence[AttemptView],
    *,
    names: Names,
    on_change: OnChange,
    same_source: bool = False,
) -> Named | Edited | OtherAccount:
    """Name hop `hop` of a video that goes on from `parent`. `at_hop` are all attempts of this hop of the video;
    `same_source` says that the source is the file that another address named before."""
    params = video.extend.hop_params(hop)
    wanted = chain.hop_digest(parent.digest, params)
    if (chosen := names.chosen(video.key, wanted)) is not None:
        return Named(chosen, None if chosen == wanted else Choice(hop, wanted, chosen))
    if any(attempt.chain_digest == wanted for attempt in at_hop):
        return Named(wanted)
    # past the first hop, what was made from another film is of another chain, which was left before
    rivals = [a for a in at_hop if hop == 1 or a.parent_attempt_id == parent.attempt_id]
    alike = [a for a in rivals if a.state in _STANDS and _is_alike(a, video, hop, parent, same_source)]
    if own := [a for a in alike if a.account in ("", video.account)]:
        stands = _latest([a for a in own if a.state in BRINGS] or own).chain_digest
        return Named(stands, Choice(hop, wanted, stands))
    elsewhere = [a for a in alike if a.state in BRINGS]
    if elsewhere and not video.again:
        return OtherAccount(elsewhere[0])
    if elsewhere or not rivals:
        return Named(wanted)
    latest = _latest(rivals)
    if latest.state not in BRINGS:
        return Named(wanted, mends=True)
    if on_change == "ask":
        return Edited(wanted, latest)
    if on_change == "keep":
        return Named(latest.chain_digest, Choice(hop, wanted, latest.chain_digest))
    return Named(wanted)


def _latest(attempts: Sequence[AttemptView]) -> AttemptView:
    """Return the attempt that was made last. Tries of one step are numbered; a clock that was wrong dates only
    steps."""
    last: dict[str, AttemptView] = {}
    for attempt in sorted(attempts, key=lambda a: (a.generation, a.try_no)):
        last[attempt.chain_digest] = attempt
    return max(last.values(), key=lambda a: a.claimed_at)


def _is_alike(attempt: AttemptView, video: Video, hop: int, parent: Parent, same_source: bool) -> bool:
    """Return whether an attempt bought what the hop asks for, though it is written otherwise now."""
    params = video.extend.hop_params(hop)
    if attempt.words is None or attempt.words != words_digest(params):
        return False
    if hop > 1 or same_source:
        return True
    if isinstance(video.source, BranchSource):
        return attempt.parent_attempt_id == parent.attempt_id
    return attempt.purchase == purchase_digest(video.provider, video.source.source_id, params)
