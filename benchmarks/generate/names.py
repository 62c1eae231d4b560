"""The texts in a ledger that are a video's own: ids, digests and paths. All follow from its number and a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from extend_pipeline.config.checks.purchase import purchase_digest
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.engine.plan import chain
from extend_pipeline.media.store import POSTER, MediaRef


class HopNames(NamedTuple):
    """The texts of one hop that are its own. `path` and `poster` are relative to the media store."""

    chain_digest: str
    external_task_id: str
    attempt_id: str
    purchase: str
    task_id: str
    video_id: str
    path: str
    poster: str
    sha256: str


@dataclass(frozen=True, slots=True)
class VideoNames:
    """The texts of one video that are its own."""

    key: str
    account: str
    source_id: str
    definition_digest: str
    budget_day: str
    hops: tuple[HopNames, ...]

    def texts(self) -> list[str]:
        """Return all of them, each at the same place for every video with as many hops."""
        own = [self.key, self.account, self.source_id, self.definition_digest, self.budget_day]
        return own + [text for hop in self.hops for text in hop]


def upstream_ids(number: int, hop: int) -> tuple[str, str]:
    """Return the ids of task and result that a provider gives a hop. None ends in zeros or looks like another id."""
    own = 1_000 * number + 10 * hop + 1
    return str(810_000_000_000_000_000 + own), str(820_000_000_000_000_000 + own)


def file_of(seed: int, number: int, hop: int) -> MediaRef:
    """Return the name of a hop's film in the media store."""
    return MediaRef(hashlib.sha256(f"{seed}/{number}/{hop}".encode()).hexdigest(), ".mp4")


def names_of(
    video: Video,
    number: int,
    definition_digest: str,
    budget_day: str,
    params: Sequence[Mapping[str, object]],
    *,
    seed: int,
) -> VideoNames:
    """Return the names of a video that is number `number`, whose hops have these parameters. Root videos only."""
    digests = [chain.source_digest(video, chain.Names())]
    hops: list[HopNames] = []
    parent = source = video.source.source_id  # type: ignore[union-attr]
    for hop, own in enumerate(params, start=1):
        digests.append(chain.hop_digest(digests[-1], own))
        key = chain.external_task_id(video_key=video.key, hop=hop, generation=1, chain_digest=digests[-1])
        (task_id, video_id), file = upstream_ids(number, hop), file_of(seed, number, hop)
        hops.append(
            HopNames(
                chain_digest=digests[-1],
                external_task_id=key,
                attempt_id=chain.attempt_id(key, 1),
                purchase=purchase_digest(video.provider, parent, own),
                task_id=task_id,
                video_id=video_id,
                path=str(file),
                poster=str(MediaRef(file.sha256, POSTER)),
                sha256=file.sha256,
            )
        )
        parent = video_id
    return VideoNames(video.key, video.account, source, definition_digest, budget_day, tuple(hops))
