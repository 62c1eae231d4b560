"""The name of one hop of a chain: of the step in the catalogue, or of the paid step that is used instead. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extend_pipeline.config.checks.purchase import purchase_digest, words_digest
from extend_pipeline.config.model.catalogue import BranchSource, OnChange, Video
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.chain import Names
from extend_pipeline.engine.plan.model import DuplicatePurchase, Parent
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import LIVE
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write.renames_and_choices import Choice

STORED_OR_LIVE: Final = frozenset({*LIVE, S.STORED})
"""States of an attempt that has a stored film, or may still get one."""

_PAID_OR_LIVE: Final = STORED_OR_LIVE | {S.FAILED, S.RESULT_LOST, S.QUARANTINED, S.WRITTEN_OFF}
"""States of an attempt that is, or may be, paid. The same parameters in another notation are no edit of it."""


@dataclass(frozen=True, slots=True)
class Named:
    """The hop's name. `choice` is set when a paid step is used instead of the step in the catalogue.
    `edits_failed_hop` says that the edit changes this hop, whose last try ended without a film."""

    name: str
    choice: Choice | None = None
    edits_failed_hop: bool = False


@dataclass(frozen=True, slots=True)
class Edited:
    """The catalogue has another step, named `digest`, than `paid`, which has a film or may still get one."""

    digest: str
    paid: AttemptRow


def name_hop(
    video: Video,
    hop: int,
    parent: Parent,
    at_hop: Sequence[AttemptRow],
    *,
    names: Names,
    on_change: OnChange,
    same_source: bool = False,
) -> Named | Edited | DuplicatePurchase:
    """Name hop `hop` of a video, which extends `parent`; return the purchase that it would duplicate where this video
    has bought the hop with another account. `at_hop` are all attempts of this hop of the video; `same_source` says that
    the source is the same file that the catalogue named by another address before."""
    params = video.extend.hop_params(hop)
    digest = chain.hop_digest(parent.digest, params)
    if (chosen := names.chosen(video.key, digest)) is not None:
        return Named(chosen, None if chosen == digest else Choice(hop, digest, chosen))
    if any(attempt.chain_digest == digest for attempt in at_hop):
        return Named(digest)
    # after the first hop, attempts with another parent belong to a chain that was abandoned before
    earlier = [a for a in at_hop if hop == 1 or a.parent_attempt_id == parent.attempt_id]
    alike = [a for a in earlier if a.state in _PAID_OR_LIVE and _is_alike(a, video, hop, parent, same_source)]
    if own := [a for a in alike if a.account == video.account]:
        paid_digest = _latest([a for a in own if a.state in STORED_OR_LIVE] or own).chain_digest
        return Named(paid_digest, Choice(hop, digest, paid_digest))
    by_other_account = [a for a in alike if a.state in STORED_OR_LIVE]
    if by_other_account and not video.again:
        return DuplicatePurchase(video.key, hop, by_other_account[0].account, bought=True)
    if by_other_account or not earlier:
        return Named(digest)
    latest = _latest(earlier)
    if latest.state not in STORED_OR_LIVE:
        return Named(digest, edits_failed_hop=True)
    if on_change == "ask":
        return Edited(digest, latest)
    if on_change == "keep":
        return Named(latest.chain_digest, Choice(hop, digest, latest.chain_digest))
    return Named(digest)


def _latest(attempts: Sequence[AttemptRow]) -> AttemptRow:
    """Return the attempt that was made last. Within one step the numbers of its tries decide, because a clock may have
    been wrong; steps are compared by the time of their claim."""
    last: dict[str, AttemptRow] = {}
    for attempt in sorted(attempts, key=lambda a: (a.generation, a.try_no)):
        last[attempt.chain_digest] = attempt
    return max(last.values(), key=lambda a: a.claimed_at)


def _is_alike(attempt: AttemptRow, video: Video, hop: int, parent: Parent, same_source: bool) -> bool:
    """Return whether an attempt bought the same as the hop, although the hop is in another notation now."""
    params = video.extend.hop_params(hop)
    if attempt.words is None or attempt.words != words_digest(params):
        return False
    if hop > 1 or same_source:
        return True
    if isinstance(video.source, BranchSource):
        return attempt.parent_attempt_id == parent.attempt_id
    return attempt.purchase == purchase_digest(video.provider, video.source.source_id, params)
