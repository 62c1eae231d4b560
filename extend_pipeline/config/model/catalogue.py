"""The catalogue: videos with their sources and targets, and how they branch off each other."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from extend_pipeline.base.disk import file_mark
from extend_pipeline.config.fields.numbers import WholeNumber
from extend_pipeline.config.fields.text import ConfigModel, EarlierName, Name, YesNo, one_of
from extend_pipeline.config.model.source import Source
from extend_pipeline.config.model.target import MAX_HOPS, Target

OnChange = Annotated[Literal["ask", "keep", "pay"], one_of("ask", "keep", "pay")]
OnChangeField = Annotated[
    OnChange | None,
    Field(
        description="What an edit does that would pay again for what was paid for: ask (the default), keep what is "
        "there, or pay.",
        examples=["ask"],
    ),
]


class CatalogueDefaults(ConfigModel):
    """The `defaults:` of catalog.yaml, for all videos whose account does not set them."""

    on_change: OnChangeField = None


class BranchSource(ConfigModel):
    """A source that is hop `hop` (counted from 1) of another video of the catalogue."""

    branch_of: Name = Field(description="Key of the video whose extension is the source.", examples=["harbour-dawn"])
    hop: Annotated[int, WholeNumber(ge=1, le=MAX_HOPS)] = Field(
        description="Which extension of it, counted from 1.", examples=[3]
    )


class Entry(ConfigModel):
    """One entry as it is written. `source` and `extend` are checked later, when the provider is known."""

    key: Name = Field(
        description="Partition key of the video: unique, 1 to 64 letters and digits of any script, and . _ -",
        examples=["harbour-dawn"],
    )
    was: EarlierName | None = Field(
        default=None,
        description="The key that this video had before: what was paid for under it goes on under the new one.",
        examples=["harbour-morning"],
    )
    again: YesNo = Field(
        default=False,
        description="true buys the same extension of the same source a second time.",
        examples=[True],
    )
    account: Name | None = Field(
        default=None,
        description="Account that made the source. A branch takes its parent's.",
        examples=["kling-main"],
    )
    source: dict[str, Any] = Field(
        description="What is extended.",
        examples=['{video_id: "827942411241803822", model: kling-v1-6, mode: std, duration: 5.1}'],
    )
    extend: dict[str, Any] = Field(description="What is made of it.", examples=["{to: 30}"])


@dataclass(frozen=True)
class Video:
    """One checked entry of the catalogue. `account` and `provider` of a branch are its root's. `was` is its earlier
    key; `again` buys an extension that was bought already."""

    key: str
    account: str
    provider: str
    source: Source | BranchSource
    extend: Target
    file: str
    line: int
    was: str | None = None
    again: bool = False


class VideoIndex(Mapping[str, Video], ABC):
    """Videos by key, in the order of the files, that are kept outside memory and read when they are asked for."""

    @abstractmethod
    def each(self) -> Iterator[Video]:
        """Yield the videos, some at a time in memory."""

    @abstractmethod
    def of(self, keys: Collection[str]) -> list[Video]:
        """Return the videos with these keys, in the order of the files; unknown keys are left out."""

    @abstractmethod
    def accounts(self) -> dict[str, int]:
        """Return how many videos each account has."""

    @abstractmethod
    def branches(self) -> frozenset[str]:
        """Return the keys of the videos that branch off another one."""

    @abstractmethod
    def renamed(self) -> dict[str, str]:
        """Return the earlier keys of the videos that have one, by key."""


@dataclass(frozen=True)
class Change:
    """What an edit of some files changed: only the videos with these `keys` can differ from the catalogue with the
    digest `since`, or are missing in one of the two."""

    since: str
    keys: frozenset[str]


@dataclass(frozen=True)
class Catalogue:
    """All videos by key, in the order of the files. `path` is the first file. `on_change` is the one of `defaults:`.
    `notes` are warnings, as sentences.

    `digest` is the same for the same files, images, accounts and rules of reading; empty while there is a mistake.
    `change` is what differs from an earlier catalogue, if that is known. `images` are the marks (`base.disk.file_mark`)
    of the image files, taken before they were read; none while there is a mistake.
    """

    videos: Mapping[str, Video]
    path: Path
    on_change: OnChange | None = None
    notes: tuple[str, ...] = ()
    digest: str = ""
    change: Change | None = None
    images: Mapping[Path, tuple[int, ...] | None] = field(default_factory=dict)

    def changed_images(self) -> list[Path]:
        """Return the image files that were written or replaced since they were read; it takes a stat call for
        each."""
        return [path for path, mark in self.images.items() if file_mark(path) != mark]

    def each(self) -> Iterator[Video]:
        """Yield the videos in the order of the files."""
        yield from self.videos.each() if isinstance(self.videos, VideoIndex) else self.videos.values()

    def of(self, keys: Collection[str]) -> list[Video]:
        """Return the videos with these keys, in the order of the files; unknown keys are left out."""
        if isinstance(self.videos, VideoIndex):
            return self.videos.of(keys)
        return [video for key, video in self.videos.items() if key in keys]

    def accounts(self) -> dict[str, int]:
        """Return how many videos each account has."""
        if isinstance(self.videos, VideoIndex):
            return self.videos.accounts()
        return Counter(video.account for video in self.videos.values())

    def branches(self) -> frozenset[str]:
        """Return the keys of the videos that branch off another one."""
        if isinstance(self.videos, VideoIndex):
            return self.videos.branches()
        return frozenset(key for key, video in self.videos.items() if isinstance(video.source, BranchSource))

    def renamed(self) -> dict[str, str]:
        """Return the earlier keys of the videos that have one, by key."""
        if isinstance(self.videos, VideoIndex):
            return self.videos.renamed()
        return {key: video.was for key, video in self.videos.items() if video.was is not None}


def root_source(video: Video, videos: Mapping[str, Video]) -> Source:
    """Return the source at the top of a video's branches."""
    source = video.source
    while isinstance(source, BranchSource):
        source = videos[source.branch_of].source
    return source
