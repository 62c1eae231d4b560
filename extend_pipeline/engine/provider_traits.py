"""What differs between providers, as a plan sees it: how much a hop adds, which limits hold, what the next hop starts
from."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.config.registry import PROVIDERS
from extend_pipeline.engine.plan.model import Blocker, Parent
from extend_pipeline.ledger.spending_rules import BlockReason

MIN_URL_LIFE_MS: Final = 600_000
"""A source's URL must live at least so long when a hop is submitted: the provider fetches it while the task runs."""


def added_ms(video: Video, hop: int) -> tuple[int, int]:
    """How much one hop adds, least and most: chosen by the caller where the provider lets them choose
    (docs/upstream/vidu.md, "Submit")."""
    chosen = video.extend.hop_params(hop).get("seconds")
    if isinstance(chosen, int):
        return chosen * 1000, chosen * 1000
    rules = PROVIDERS[video.provider]
    return rules.least_added_ms, rules.most_added_ms


def measures_source(video: Video) -> bool:
    """Whether the source must be fetched and measured before its first hop: where a provider limits its length, and
    where nobody has said how long it is."""
    return PROVIDERS[video.provider].source_range_ms is not None


def next_source(account: Account, parent: Parent, now_ms: int) -> str | Blocker:
    """What the next hop names as its source, or why there is nothing that the provider could take.

    Vidu (docs/upstream/vidu.md, "Source") takes a URL that must be reachable while the hop runs: the last result's
    while it lives, else the studio's own address of the store.
    """
    rules = PROVIDERS[account.provider]
    if parent.video_id is None:
        message = "the last result came without a video id, so it can't be extended further"
        return Blocker(
            BlockReason.NOT_EXTENDABLE, message, "ask the reseller for it, or lower the target to what is there"
        )
    if rules.source_range_ms is None or parent.attempt_id is None:
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
    """Where nobody knows whether a result is the whole film or only its new part, its length is not known either, and
    going on could pay for hops past the target."""
    if parent.kind != "unknown" or whole_by_contract(account.provider):
        return None
    message = f"nobody can tell whether the file of hop {hop} is the whole film or only the new part"
    todo = f"look at it, and say output: full or output: segment for account {account.name} in accounts.yaml"
    return Blocker(BlockReason.UNKNOWN_KIND, message, todo)


def whole_by_contract(provider: str) -> bool:
    """Whether the provider's document says that a result holds its parent (docs/upstream/kling.md, "Result": the whole
    video)."""
    return provider in ("kling", "kling-gateway")


def out_of_range(video: Video, parent: Parent) -> Blocker | None:
    """Where the provider takes sources of some lengths only, and this is none of them."""
    limits = PROVIDERS[video.provider].source_range_ms
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


def looked_up_by_key(account: Account, submit_class: str) -> bool:
    """Whether an attempt in doubt, sent under `submit_class`, is looked up by our own key. The account must be class A
    now and have been so then: a request that went out without the key is never found by it, which proves nothing."""
    return account.submit_class == "A" and submit_class == "A"


def source_life_ms(provider: str) -> int | None:
    """For how long after its making a source can be extended; None where no limit is documented."""
    return PROVIDERS[provider].source_life_ms


def result_life_ms(provider: str) -> int:
    """For how long a result is kept, where the result doesn't say."""
    return PROVIDERS[provider].result_life_ms


def refreshes_urls(provider: str) -> bool:
    """Whether asking for a task again gives a fresh URL of its result. Vidu through ModelVerse tells the same for
    ever."""
    return provider != "vidu"


def tells_parent(provider: str) -> bool:
    """Whether a result tells where its parent lies (`parent_video.url`, docs/upstream/kling.md, "Query"), so that a
    source need not be fetched beforehand."""
    return provider in ("kling", "kling-gateway")


def longest_ms(provider: str) -> int | None:
    """How long a video may become; None where no limit is documented."""
    return PROVIDERS[provider].longest_ms
