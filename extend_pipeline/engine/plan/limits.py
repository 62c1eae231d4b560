"""Limits of the provider that don't end by waiting: age, length and kind of a source. Checked before any purchase."""

from typing import Final
from urllib.parse import quote

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.engine.plan.model import Blocker, Parent
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.providers.spec import ResultKind, SourceKind

MIN_URL_LIFE_MS: Final = 600_000
"""Minimum remaining life of a source's URL when a hop is submitted, because the provider fetches it during the task."""


def provider_limit(video: Video, hop: int, parent: Parent, now_ms: int) -> Blocker | None:
    """Return why hop `hop` can't be made from this parent; None when it can."""
    return _expired(video, hop, parent, now_ms) or _too_long(video, parent) or _out_of_range(video, parent)


def _expired(video: Video, hop: int, parent: Parent, now_ms: int) -> Blocker | None:
    life = spec_of(video.provider).source_life_ms
    if life is None or parent.born_ms is None or now_ms < parent.born_ms + life:
        return None
    what = "its source" if parent.attempt_id is None else f"hop {hop - 1}"
    ended = f"{from_ms(parent.born_ms + life):%Y-%m-%d %H:%M} UTC"
    message = f"{what} could be extended until {ended}; the provider keeps videos for {life // 86_400_000} days"
    return Blocker(BlockReason.SOURCE_EXPIRED, message, "make the source anew and give its new video_id and created_at")


def _too_long(video: Video, parent: Parent) -> Blocker | None:
    """Return a blocker when the result could be longer than the provider's limit, else None.

    It is not certain whether the limit applies to the source or to the result (docs/upstream/kling.md, "Length"), so
    the result must stay below it.
    """
    spec = spec_of(video.provider)
    longest = spec.longest_ms
    if longest is None or parent.duration_ms is None or parent.duration_ms + spec.added_ms(video.extend)[1] <= longest:
        return None
    message = f"it is {parent.duration_ms / 1000:g} s long; another hop could pass the provider's {longest / 1000:g} s"
    return Blocker(BlockReason.LENGTH_CAP, message, "lower the target")


def _out_of_range(video: Video, parent: Parent) -> Blocker | None:
    """Return a blocker when the source is shorter or longer than the provider accepts, else None."""
    limits = spec_of(video.provider).source_range_ms
    if limits is None or parent.file_ms is None:
        return None
    least, most = limits
    if least <= parent.file_ms <= most:
        return None
    allowed = f"{video.provider} extends {least / 1000:g} to {most / 1000:g} s"
    message = f"the source is {parent.file_ms / 1000:g} s long; {allowed}"
    if parent.attempt_id is None:
        todo = "give a longer source" if parent.file_ms < least else "cut the source, or give a shorter one"
    else:
        todo = "lower the target to what is there"
    return Blocker(BlockReason.SOURCE_LENGTH, message, todo)


def next_source(account: Account, parent: Parent, now_ms: int) -> str | Blocker:
    """Return the source to send for the next hop (video id or URL), or a blocker when the provider can't read any.

    A provider that takes URLs (docs/upstream/vidu.md, "Source") fetches the source while the hop runs. The URL is the
    last result's until it expires, then the public address of the media store.
    """
    if parent.video_id is None:
        message = "the last result came without a video id, so it can't be extended further"
        return Blocker(
            BlockReason.NOT_EXTENDABLE, message, "ask the reseller for it, or lower the target to what is there"
        )
    if spec_of(account.provider).source_kind is SourceKind.ID or parent.attempt_id is None:
        return parent.video_id
    if parent.expires_ms is None or now_ms + MIN_URL_LIFE_MS < parent.expires_ms:
        return parent.video_id
    public = getattr(account, "public_media_url", None)
    if public and parent.film_gone:
        message = "the last result's URL has expired, and its film is gone from the store that the provider would read"
        return Blocker(BlockReason.FILM_GONE, message, "put the film back; status says whether it can be fetched again")
    if public and parent.path is not None:
        return f"{public.rstrip('/')}/{quote(parent.path)}"
    message = "the last result's URL has expired, and the provider can't reach the file in the store"
    todo = f"serve the media store on the internet and give account {account.name} its public_media_url"
    return Blocker(BlockReason.UNREACHABLE_SOURCE, message, todo)


def unknown_kind(account: Account, hop: int, parent: Parent) -> Blocker | None:
    """Return a blocker when it is unknown whether a result is the whole film or only its new part, else None. The
    film's length is unknown then, so continuing could pay for hops past the target."""
    if parent.kind != "unknown" or spec_of(account.provider).result_kind is not ResultKind.MEASURED:
        return None
    message = f"it is unknown whether the file of hop {hop} is the whole film or only the new part"
    todo = f"look at it, and say output: full or output: segment for account {account.name} in accounts.yaml"
    return Blocker(BlockReason.UNKNOWN_KIND, message, todo)
