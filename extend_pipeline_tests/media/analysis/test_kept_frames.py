"""Kept frames are a cache: what is damaged, missing or too much is left out, and the film is decoded instead."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from extend_pipeline.media.analysis import kept_frames
from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import Examined, ResultContext, examine
from extend_pipeline.media.analysis.kept_frames import KEPT_S, KeptFrames, read_frames
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.media.store import FOLDERS
from extend_pipeline_tests.support.media.mp4 import extend_clip, make_clip

SHA256 = "ab" * 32


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("films")
    parent = make_clip(folder / "parent.mp4", seconds=3)
    return parent, extend_clip(parent, folder / "result.mp4", seconds=2)


@pytest.fixture
def kept(films: tuple[Path, Path], tmp_path: Path) -> Path:
    path = tmp_path / "parent.frames"
    examined = examine(films[0], ResultContext(kind=OutputKind.FULL, keep=path))
    assert isinstance(examined, Examined)
    assert examined.kept
    return path


def changed(**fields: object) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        header, _, rest = data.partition(b"\n")
        return json.dumps({**json.loads(header), **fields}).encode() + b"\n" + rest

    return change


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "one bit": lambda data: data[:-5] + bytes([data[-5] ^ 1]) + data[-4:],
    "holes": lambda data: data[:5_000] + bytes(len(data) - 5_000),
    "no header": lambda data: data[200:],
    "a huge side": changed(width=10**9),
    "an odd side": changed(height=181),
    "no frames": changed(at_s=[], last=0),
    "too many frames": changed(at_s=[float(number) for number in range(99)]),
    "no order": changed(at_s=[1.0, 0.0]),
    "no number": changed(interval_s=float("nan")),
    "another kind": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_not_read_and_the_parent_is_decoded(name: str, films: tuple[Path, Path], kept: Path) -> None:
    parent, result = films
    expected = examine(result, ResultContext(parent=parent, parent_ms=3_000))
    kept.write_bytes(DAMAGES[name](kept.read_bytes()))

    assert read_frames(kept) is None
    assert examine(result, ResultContext(parent=parent, parent_frames=kept, parent_ms=3_000)) == expected


def test_a_missing_file_is_not_read(films: tuple[Path, Path], tmp_path: Path) -> None:
    context = ResultContext(parent=films[0], parent_frames=tmp_path / "none", parent_ms=3_000)

    examined = examine(films[1], context)

    assert isinstance(examined, Examined)
    assert examined.seam is not None
    assert examined.seam.parent_is_prefix


def test_a_film_that_ends_its_video_or_is_too_large_is_not_kept(
    films: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    ends = ResultContext(kind=OutputKind.FULL, keep=path, keep_below_ms=3_000)
    segment = ResultContext(kind=OutputKind.SEGMENT, keep=path)
    assert not any(examine(films[0], context).kept for context in (ends, segment))  # type: ignore[union-attr]
    monkeypatch.setattr(kept_frames, "MAX_FILE_BYTES", 100_000)
    assert not examine(films[0], ResultContext(kind=OutputKind.FULL, keep=path)).kept  # type: ignore[union-attr]
    assert not path.exists()


def test_a_worker_writes_the_file_within_its_bounds(films: tuple[Path, Path], tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "media")
    store.make()
    with store.kept_frames.new() as path:
        assert path is not None
        examined = isolated_probe.examine(films[0], ResultContext(kind=OutputKind.FULL, keep=path))
        assert isinstance(examined, Examined)
        assert examined.kept
        store.kept_frames.keep(path, SHA256)

    found = store.kept_frames.find(SHA256)
    assert found is not None
    assert found.stat().st_mode & 0o777 == 0o600
    assert read_frames(found) is not None
    assert not any(store.films_in(folder) for folder in FOLDERS)


def test_files_go_when_they_are_forgotten_or_old_and_there_are_never_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames, now = KeptFrames(tmp_path / "frames"), time.time()
    for sha256 in (SHA256, "cd" * 32, "ef" * 32):
        with frames.new() as path:
            assert path is not None
            frames.keep(path, sha256)
    with frames.new():
        pass
    frames.forget(SHA256)
    frames.forget(SHA256)
    assert [frames.find(sha256) is not None for sha256 in (SHA256, "cd" * 32, "ef" * 32)] == [False, True, True]
    old = frames.find("cd" * 32)
    assert old is not None
    os.utime(old, (now - KEPT_S - 60, now - KEPT_S - 60))
    frames.sweep(now=now)
    assert len(list((tmp_path / "frames").iterdir())) == 1
    monkeypatch.setattr(kept_frames, "MAX_FILES", 1)
    with frames.new() as path:
        assert path is None


def test_a_folder_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("a file in its place")
    frames = KeptFrames(tmp_path / "frames")

    with frames.new() as path:
        assert path is None
    frames.forget(SHA256)
    frames.sweep(now=time.time())
    assert frames.find(SHA256) is None
