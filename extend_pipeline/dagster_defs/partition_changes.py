"""Decide which partitions are to be added, removed and held back, from what there is."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from extend_pipeline.ledger.read.declared_keys import DeclaredKey, InFlight
from extend_pipeline.ledger.write.catalog_sync import FEW


@dataclass(frozen=True, slots=True)
class Changes:
    """The partitions to add, those of renamed and withdrawn videos to remove, and those of withdrawn videos that are
    held back, because too many would go at once; each in the order of the keys."""

    add: Sequence[str]
    remove: Sequence[str]
    held: Sequence[str]


def partition_changes(
    existing: Collection[str],
    videos: Sequence[DeclaredKey],
    in_flight: Sequence[InFlight],
    *,
    earlier: Collection[str],
    first_held: str = "",
    remove_many: bool = False,
) -> Changes:
    """Return what brings the `existing` partitions in line with the ledger's videos.

    Withdrawn videos keep their partition while an attempt of theirs is `in_flight`. `earlier` are keys that videos had
    between their first and their present one. `first_held` is the first partition that was held back before, if any
    was: while its video is withdrawn, all withdrawn ones stay held, and while more than a few are; otherwise new videos
    alone would make the held ones the smaller part. `remove_many` holds back none.
    """
    there, keys = frozenset(existing), {video.video_key for video in videos}
    declared = {video.video_key for video in videos if not video.is_withdrawn}
    wanted = declared.union(attempt.video_key for attempt in in_flight)
    renamed = there.intersection({video.first_key for video in videos}.union(earlier)) - keys
    withdrawn = there & keys - wanted
    are_many = len(withdrawn) > FEW and (first_held != "" or 2 * len(withdrawn) > len(there))
    holds = not remove_many and (not declared or first_held in withdrawn or are_many)
    missing = (keys & wanted) - there
    return Changes(
        add=sorted(missing),
        remove=sorted(renamed if holds else renamed | withdrawn),
        held=sorted(withdrawn) if holds else (),
    )
