"""Decide whether a result is the whole film or only the new part, because providers do not state it
(docs/upstream/README.md, "What the result file contains").

Length decides first, frames where length allows both. `d` is the result's length minus the parent's; a segment is at
most 8 s long, because no documented extension adds more.

| d | seam: prefix | seam: not a prefix | no seam |
|---|---|---|---|
| parent's length not known | full | unknown | unknown |
| ≤ −0.5 s: shorter than what it would contain | segment | segment | segment |
| within ±0.5 s, result ≤ 8 s: the new part, or the parent returned as it was | unknown | segment ¹ | unknown |
| within ±0.5 s, result > 8 s | unknown | unknown | unknown |
| ≥ +0.5 s, result ≤ 8 s | full | segment ¹ | unknown |
| ≥ +0.5 s, result > 8 s: too long for a segment | full | unknown (contradiction) | full |

¹ unknown where the frames contradict it: the result's first frame is no closer to the parent's last one than its
frames at the parent's instants are. A whole film that was drawn or cropped anew looks like that.
"""

from enum import StrEnum
from typing import Final

from extend_pipeline.media.analysis.seam import Seam

MIN_DIFFERENCE_MS: Final = 500  # below 1 s, the shortest extension on offer; above encoders' differences at the end
SEGMENT_SLACK_MS: Final = 1_000  # how much a segment may exceed the longest extension


class OutputKind(StrEnum):
    """What a result's file holds."""

    FULL = "full"
    SEGMENT = "segment"
    UNKNOWN = "unknown"


def classify_output(*, parent_ms: int | None, probed_ms: int, seam: Seam | None, longest_added_ms: int) -> OutputKind:
    """Classify a result by the module's table, from the parent's length, the result's probed length and the seam."""
    measured = seam if seam is not None and seam.compared_frames else None
    prefix = measured is not None and measured.parent_is_prefix
    if parent_ms is None:
        return OutputKind.FULL if prefix else OutputKind.UNKNOWN
    difference_ms = probed_ms - parent_ms
    if difference_ms <= -MIN_DIFFERENCE_MS:
        return OutputKind.SEGMENT
    longer = difference_ms >= MIN_DIFFERENCE_MS
    if prefix:
        return OutputKind.FULL if longer else OutputKind.UNKNOWN
    too_long_for_segment = probed_ms > longest_added_ms + SEGMENT_SLACK_MS
    if measured is None:
        return OutputKind.FULL if longer and too_long_for_segment else OutputKind.UNKNOWN
    return OutputKind.SEGMENT if _continues(measured) and not too_long_for_segment else OutputKind.UNKNOWN


def _continues(seam: Seam) -> bool:
    """Return whether the result starts where the parent ends; also true if the joint was not measured."""
    return seam.joint_db is None or seam.psnr_db is None or seam.joint_db > seam.psnr_db
