"""What is no mistake and still worth a word before money is spent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from extend_pipeline.config.catalogue import BranchSource, Catalogue, Video
from extend_pipeline.config.digest import digest


def notes_on(catalogue: Catalogue) -> Iterator[str]:
    """Plain sentences, one a case, in the order of the catalogue."""
    yield from _paid_twice(catalogue)


def _paid_twice(catalogue: Catalogue) -> Iterator[str]:
    """Videos that begin with the very same extension: every one of them pays for it."""
    by_start: dict[tuple[str, ...], list[Video]] = defaultdict(list)
    for video in catalogue.videos.values():
        by_start[_start(video)].append(video)
    for those in by_start.values():
        if len(those) == 1:
            continue
        by_step: dict[str, list[Video]] = defaultdict(list)
        for video in those:
            by_step[digest(_without_paths(video.extend.hop_params(1)))].append(video)
        for same in by_step.values():
            if len(same) > 1:
                first = same[0].key
                yield (
                    f"Videos {_listed(same)} of account {same[0].account} begin with the same extension of the same "
                    f"source, and each pays for it. To pay once, let the others branch off {first}: "
                    f"source: {{branch_of: {first}, hop: 1}}."
                )


def _start(video: Video) -> tuple[str, ...]:
    if isinstance(video.source, BranchSource):
        return video.account, video.source.branch_of, str(video.source.hop)
    return video.account, video.source.source_id


def _without_paths(params: dict[str, object]) -> dict[str, object]:
    # a file is the same picture wherever it lies
    return {name: value for name, value in params.items() if name != "last_frame_url" or not _is_file(params)}


def _is_file(params: dict[str, object]) -> bool:
    return "last_frame_sha256" in params


def _listed(videos: Sequence[Video]) -> str:
    keys = [video.key for video in videos]
    if len(keys) > 4:
        return f"{', '.join(keys[:3])} and {len(keys) - 3} more"
    return f"{', '.join(keys[:-1])} and {keys[-1]}"
