"""Names of steps. A hop is named by what it is made from, all the way up: change a prompt at hop k, and k and
everything after it are other steps, while everything before keeps its name and its paid results.

All names are pure functions of the catalogue, so that a lost ledger, rebuilt, asks for the same `external_task_id`s
and is refused as a duplicate instead of paying again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from extend_pipeline.config.digest import digest
from extend_pipeline.config.model.catalogue import BranchSource, Video


@dataclass(frozen=True, slots=True)
class Names:
    """Names that steps go by: what renamed videos and accounts were called first, and which paid steps edited ones
    stand for (by video and digest). A step that was paid for keeps its name, whatever it is called now."""

    videos: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def video(self, key: str) -> str:
        """Return the key that a video's steps are named by."""
        return self.videos.get(key, key)

    def account(self, name: str) -> str:
        """Return the name that an account's steps are named by."""
        return self.accounts.get(name, name)

    def chosen(self, key: str, chain_digest: str) -> str | None:
        """Return the step that a step of a video stands for by somebody's decision, None where there is none."""
        return self.choices.get(key, {}).get(chain_digest)


def source_digest(video: Video, names: Names) -> str:
    """Return the name of a root source: which account holds which video."""
    if isinstance(video.source, BranchSource):
        raise TypeError(f"{video.key} is a branch; its chain begins in the video that it branches from")
    account = names.account(video.account)
    return digest({"provider": video.provider, "account": account, "video_id": video.source.source_id})


def hop_digest(parent_digest: str, params: Mapping[str, object]) -> str:
    """Return the name of a hop: its parent's name and its own parameters, nothing else. A local picture counts by its
    bytes, not by where it lies: a home that moves has paid for its hops all the same."""
    meant = dict(params)
    if "last_frame_sha256" in meant:
        meant.pop("last_frame_url", None)
    return digest({"parent": parent_digest, "params": meant})


def digests(video: Video, hops: int, *, videos: Mapping[str, Video], names: Names | None = None) -> list[str]:
    """Return names of the source (index 0) and the first `hops` hops of a video, through the branches above it."""
    names = names or Names()
    if isinstance(video.source, BranchSource):
        above = videos[video.source.branch_of]
        chain = [digests(above, video.source.hop, videos=videos, names=names)[-1]]
    else:
        chain = [source_digest(video, names)]
    for hop in range(1, hops + 1):
        own = hop_digest(chain[-1], video.extend.hop_params(hop))
        chain.append(names.chosen(video.key, own) or own)
    return chain


def external_task_id(*, video_key: str, hop: int, generation: int, chain_digest: str) -> str:
    """Return our own key of one generation of one extension, `[A-Za-z0-9_-]{1,64}`; the same on every try."""
    text = "\x1f".join((video_key, str(hop), str(generation), chain_digest))
    return "ep-" + hashlib.sha256(text.encode()).hexdigest()[:40]


def attempt_id(external_id: str, try_no: int) -> str:
    """Return the ledger's name of one try of one generation."""
    return f"{external_id.removeprefix('ep-')[:16]}-{try_no}"
