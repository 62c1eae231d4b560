"""What no waiting will mend about a step: age, length, limits. Checked before anything is spent."""

from __future__ import annotations

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.engine import provider_traits
from extend_pipeline.engine.plan.model import Blocker, Parent
from extend_pipeline.ledger.spending_rules import BlockReason


def impossible(video: Video, hop: int, parent: Parent, now_ms: int) -> Blocker | None:
    """Why hop `hop` can't be made from this parent; None where nothing speaks against it."""
    return (
        _expired(video, hop, parent, now_ms)
        or _too_long(video, hop, parent)
        or provider_traits.out_of_range(video, parent)
    )


def _expired(video: Video, hop: int, parent: Parent, now_ms: int) -> Blocker | None:
    life = provider_traits.source_life_ms(video.provider)
    if life is None or parent.born_ms is None or now_ms < parent.born_ms + life:
        return None
    what = "its source" if parent.attempt_id is None else f"hop {hop - 1}"
    ended = f"{from_ms(parent.born_ms + life):%Y-%m-%d %H:%M} UTC"
    message = f"{what} could be extended until {ended}; the provider keeps videos for {life // 86_400_000} days"
    return Blocker(BlockReason.SOURCE_EXPIRED, message, "make the source anew and give its new video_id and created_at")


def _too_long(video: Video, hop: int, parent: Parent) -> Blocker | None:
    """Whether source or result must stay below the limit is unsure (docs/upstream/kling.md, "Length"), so the result
    must."""
    longest = provider_traits.longest_ms(video.provider)
    if (
        longest is None
        or parent.duration_ms is None
        or parent.duration_ms + provider_traits.added_ms(video, hop)[1] <= longest
    ):
        return None
    message = f"it is {parent.duration_ms / 1000:g} s long; another hop could pass the provider's {longest / 1000:g} s"
    return Blocker(BlockReason.LENGTH_CAP, message, "lower the target")
