"""The seam is measured on real clips, and the kind follows its table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from extend_pipeline.media.analysis.classify import OutputKind, classify_output
from extend_pipeline.media.analysis.seam import Seam
from extend_pipeline_tests.support.media.examined import seam_of
from extend_pipeline_tests.support.media.mp4 import cut, extend_clip, make_clip


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "parent.mp4", seconds=4, bframes=2)


def test_an_exact_extension_has_a_perfect_seam(parent: Path, tmp_path: Path) -> None:
    result = extend_clip(parent, tmp_path / "result.mp4", seconds=5)

    seam = seam_of(parent=parent, result=result)

    assert (seam.psnr_db, seam.parent_is_prefix, seam.compared_frames) == (99.0, True, 5)
    assert classify_output(parent_ms=4000, probed_ms=9000, seam=seam, longest_added_ms=7000) is OutputKind.FULL


@pytest.mark.parametrize("shape", [{"size": (640, 360)}, {"noise": 6}, {"fps": 24}, {"keyframe_every": 5}], ids=str)
def test_a_parent_that_was_encoded_again_is_still_a_prefix(parent: Path, tmp_path: Path, shape: dict[str, int]) -> None:
    # another size draws another pattern, so the parent's own frames are scaled for it
    result = _rescaled(parent, tmp_path / "result.mp4") if "size" in shape else None
    result = result or make_clip(tmp_path / "result.mp4", seconds=6, **shape)  # type: ignore[arg-type]

    seam = seam_of(parent=parent, result=result)

    assert seam.parent_is_prefix
    assert seam.psnr_db is not None
    assert 25 <= seam.psnr_db < 60


def test_another_clip_of_the_same_length_is_no_prefix(parent: Path, tmp_path: Path) -> None:
    other = make_clip(tmp_path / "other.mp4", seconds=9, hue=0.9, start_s=3)

    seam = seam_of(parent=parent, result=other)

    assert not seam.parent_is_prefix
    assert seam.psnr_db is not None
    assert seam.psnr_db < 20
    assert classify_output(parent_ms=4000, probed_ms=9000, seam=seam, longest_added_ms=7000) is OutputKind.UNKNOWN


def test_a_clip_that_only_ends_like_the_parent_is_no_prefix(parent: Path, tmp_path: Path) -> None:
    beginning = make_clip(tmp_path / "beginning.mp4", seconds=3, start_s=20)
    ends_alike = extend_clip(beginning, tmp_path / "alike.mp4", seconds=3, hue=0.3)

    seam = seam_of(parent=parent, result=ends_alike)

    assert seam.psnr_db is not None
    assert seam.psnr_db > 25, "its last second is drawn as the parent's is"
    assert not seam.parent_is_prefix


def test_a_longer_segment_of_five_seconds_after_four_is_recognised_by_its_frames(parent: Path, tmp_path: Path) -> None:
    segment = make_clip(tmp_path / "segment.mp4", seconds=5, start_s=4)

    seam = seam_of(parent=parent, result=segment)

    assert not seam.parent_is_prefix
    assert classify_output(parent_ms=4000, probed_ms=5000, seam=seam, longest_added_ms=7000) is OutputKind.SEGMENT
    assert classify_output(parent_ms=4000, probed_ms=5000, seam=None, longest_added_ms=7000) is OutputKind.UNKNOWN


def test_a_result_shorter_than_the_parent_has_nothing_to_compare(parent: Path, tmp_path: Path) -> None:
    segment = make_clip(tmp_path / "segment.mp4", seconds=2, start_s=4)

    seam = seam_of(parent=parent, result=segment)

    assert (seam.psnr_db, seam.parent_is_prefix, seam.compared_frames) == (None, False, 0)


def test_a_parent_of_two_frames_can_be_measured(tmp_path: Path) -> None:
    parent = make_clip(tmp_path / "parent.mp4", seconds=2 / 12)
    result = extend_clip(parent, tmp_path / "result.mp4", seconds=1)

    assert seam_of(parent=parent, result=result).compared_frames == 2


def test_a_broken_file_has_no_seam_and_a_missing_one_is_an_error(parent: Path, tmp_path: Path) -> None:
    broken = cut(Path(shutil.copy(parent, tmp_path / "broken.mp4")), 0.05)

    assert seam_of(parent=broken, result=parent) == Seam(None, False, 0)
    for pair in (parent, tmp_path / "nowhere.mp4"), (tmp_path / "nowhere.mp4", parent):
        with pytest.raises(FileNotFoundError):
            seam_of(parent=pair[0], result=pair[1])


PREFIX = Seam(psnr_db=40.0, parent_is_prefix=True, compared_frames=5, joint_db=12.0)
CONTINUES = Seam(psnr_db=12.0, parent_is_prefix=False, compared_frames=5, joint_db=28.0)
REDRAWN = Seam(psnr_db=18.0, parent_is_prefix=False, compared_frames=5, joint_db=12.0)
PLAIN = Seam(psnr_db=12.0, parent_is_prefix=False, compared_frames=5)
UNMEASURED = Seam(psnr_db=None, parent_is_prefix=False, compared_frames=0)
FULL, SEGMENT, UNKNOWN = OutputKind.FULL, OutputKind.SEGMENT, OutputKind.UNKNOWN


@pytest.mark.parametrize(
    ("parent_ms", "probed_ms", "seam", "kind"),
    [
        (None, 9600, PREFIX, FULL),
        (None, 9600, CONTINUES, UNKNOWN),
        (None, 9600, None, UNKNOWN),
        (12_000, 5000, None, SEGMENT),
        (12_000, 5000, CONTINUES, SEGMENT),
        (5500, 5000, None, SEGMENT),
        (5100, 5000, None, UNKNOWN),
        (5100, 5000, CONTINUES, SEGMENT),
        (5100, 5000, PREFIX, UNKNOWN),
        (5100, 5000, REDRAWN, UNKNOWN),
        (9600, 9500, CONTINUES, UNKNOWN),
        (4000, 5000, None, UNKNOWN),
        (4000, 5000, UNMEASURED, UNKNOWN),
        (4000, 5000, PREFIX, FULL),
        (4000, 5000, CONTINUES, SEGMENT),
        (4000, 5000, PLAIN, SEGMENT),
        (4000, 5000, REDRAWN, UNKNOWN),
        (4500, 5000, PREFIX, FULL),
        (4501, 5000, PREFIX, UNKNOWN),
        (5100, 9600, None, FULL),
        (5100, 9600, UNMEASURED, FULL),
        (5100, 9600, PREFIX, FULL),
        (5100, 9600, CONTINUES, UNKNOWN),
    ],
)
def test_the_kind_follows_the_table(parent_ms: int | None, probed_ms: int, seam: Seam | None, kind: OutputKind) -> None:
    assert classify_output(parent_ms=parent_ms, probed_ms=probed_ms, seam=seam, longest_added_ms=7000) is kind


def _rescaled(source: Path, path: Path) -> Path:
    """Write the clip re-encoded at twice its size, and return `path`."""
    import av

    with av.open(str(source)) as clip, av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=12, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for frame in clip.decode(video=0):
            out.mux(stream.encode(frame.reformat(width=640, height=360)))
        out.mux(stream.encode(None))
    return path
