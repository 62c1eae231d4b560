"""The power cut takes exactly what was not synced: bytes, and where asked names too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from extend_pipeline_tests.faults.processes.power_cut import cut, watch


@pytest.fixture
def media(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose syncs and renames are logged beside it."""
    monkeypatch.setattr(os, "fsync", os.fsync)  # so that the watched ones are taken away again
    monkeypatch.setattr(os, "replace", os.replace)
    watch(tmp_path / "log")
    folder = tmp_path / "media"
    folder.mkdir()
    return folder


def written(path: Path, data: bytes, *, synced: int | None) -> Path:
    """A file of which the first bytes are synced; None: it never was."""
    with path.open("wb") as file:
        file.write(data[: synced or 0])
        file.flush()
        if synced is not None:
            os.fsync(file.fileno())
        file.write(data[synced or 0 :])
    return path


def sync_folder(folder: Path) -> None:
    """Make the names in it last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("names_too", [False, True])
def test_bytes_that_were_not_synced_are_gone_and_the_others_stay(media: Path, names_too: bool, tmp_path: Path) -> None:
    whole = written(media / "whole", b"12345678", synced=8)
    half = written(media / "half", b"12345678", synced=4)
    none = written(media / "none", b"12345678", synced=None)
    assert cut(tmp_path / "log", media, names_too=names_too) == 2
    assert [path.read_bytes() for path in (whole, half, none)] == [b"12345678", b"1234", b""]


def test_a_name_lasts_once_its_folder_is_synced(media: Path, tmp_path: Path) -> None:
    lasting = written(media / "a.part", b"1234", synced=4).replace(media / "a")
    sync_folder(media)
    unsure = written(media / "b.part", b"1234", synced=4).replace(media / "b")
    assert cut(tmp_path / "log", media, names_too=False) == 0
    assert unsure.exists()
    assert cut(tmp_path / "log", media, names_too=True) == 1
    assert lasting.read_bytes() == b"1234"
    assert not unsure.exists()
