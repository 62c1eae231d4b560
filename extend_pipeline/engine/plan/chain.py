"""Names of steps. A step's name (chain digest) is a hash of its parent's name and its own parameters. A changed prompt
at hop k gives other names from hop k on, while the hops before keep their names and their paid results.

All names are pure functions of the catalogue. A ledger that was lost and rebuilt therefore sends the same
`external_task_id`s, which the provider refuses as duplicates instead of charging again.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from extend_pipeline.config.digest import digest
from extend_pipeline.config.model.catalogue import BranchSource, Video


@dataclass(frozen=True, slots=True)
class Names:
    """The names that enter into chain digests: the first names of renamed videos and accounts, and the paid steps that
    replace edited ones (by video and digest). A paid step keeps its name after a renaming."""

    videos: Mapping[str, str] = field(default_factory=dict)
    accounts: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def video(self, key: str) -> str:
        """Return the key under which a video's steps are named."""
        return self.videos.get(key, key)

    def account(self, name: str) -> str:
        """Return the name under which an account's steps are named."""
        return self.accounts.get(name, name)

    def chosen(self, key: str, chain_digest: str) -> str | None:
        """Return the paid step that stands for a step of a video, chosen by an operator or a rule; None without such
        a choice."""
        return self.choices.get(key, {}).get(chain_digest)


def source_digest(video: Video, names: Names) -> str:
    """Return the name of a root source: a digest of its provider, account and video id. Raises TypeError for a
    branch."""
    if isinstance(video.source, BranchSource):
        raise TypeError(f"{video.key} is a branch; its chain begins in the video that it branches from")
    account = names.account(video.account)
    return digest({"provider": video.provider, "account": account, "video_id": video.source.source_id})


def hop_digest(parent_digest: str, params: Mapping[str, object]) -> str:
    """Return the name of a hop: a digest of its parent's name and its own parameters. A local image counts by its
    bytes, not its path, so that the hops of a home that was moved keep their names."""
    named_params = dict(params)
    if "last_frame_sha256" in named_params:
        named_params.pop("last_frame_url", None)
    return digest({"parent": parent_digest, "params": named_params})


def digests(video: Video, hops: int, *, videos: Mapping[str, Video], names: Names | None = None) -> list[str]:
    """Return the names of the source (index 0) and the first `hops` hops of a video, through the branches above it."""
    names = names or Names()
    if isinstance(video.source, BranchSource):
        above = videos[video.source.branch_of]
        chain = [digests(above, video.source.hop, videos=videos, names=names)[-1]]
    else:
        chain = [source_digest(video, names)]
    for hop in range(1, hops + 1):
        from_catalogue = hop_digest(chain[-1], video.extend.hop_params(hop))
        chain.append(names.chosen(video.key, from_catalogue) or from_catalogue)
    return chain


def external_task_id(*, video_key: str, hop: int, generation: int, chain_digest: str) -> str:
    """Return our own key of one generation of a step, `[A-Za-z0-9_-]{1,64}`; the same on every try."""
    text = "\x1f".join((video_key, str(hop), str(generation), chain_digest))
    return "ep-" + hashlib.sha256(text.encode()).hexdigest()[:40]


def attempt_id(external_id: str, try_no: int) -> str:
    """Return the ledger's id of one try of one generation."""
    return f"{external_id.removeprefix('ep-')[:16]}-{try_no}"
