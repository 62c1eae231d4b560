"""Hostile files of other containers are refused with a sentence, and a good film after each of them still passes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from extend_pipeline.media.check.probe import InvalidFile, ValidFile
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.isolation.pool import WorkerPool
from extend_pipeline_tests.support.media.containers import RECIPES, make
from extend_pipeline_tests.support.media.mp4 import make_clip

EBML: Final = bytes.fromhex("1a45dfa3") + b"\x87" + b"\x42\x82\x84webm"
SEGMENT: Final = bytes.fromhex("18538067")
CLUSTER: Final = bytes.fromhex("1f43b675")
UNKNOWN: Final = b"\x01" + b"\xff" * 7


def _overwritten(film: bytes, element: bytes, contents: bytes) -> bytes:
    at = film.index(element) + len(element)
    return film[:at] + contents + film[at + len(contents) :]


HOSTILE: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "a header of 2^56 bytes": lambda film: film[:4] + b"\x01\xff\xff\xff\xff\xff\xff\xfe" + film[5:],
    "a segment of 2^55 bytes": lambda film: _overwritten(film, SEGMENT, b"\x01\x80\0\0\0\0\0\0"),
    "segments nested 5,000 deep": lambda _: EBML + (SEGMENT + UNKNOWN) * 5_000,
    "clusters nested 5,000 deep": lambda _: EBML + SEGMENT + UNKNOWN + (CLUSTER + UNKNOWN) * 5_000,
    "a size of nine bytes": lambda _: EBML + SEGMENT + b"\0" * 9,
    "garbage in a cluster": lambda film: _overwritten(film, CLUSTER, b"\x01" + bytes(7) + b"\xff" * 60),
    "a play list behind a header": lambda _: EBML + b"#EXTM3U\nhttp://169.254.169.254/\n",
    "an AVI of no length": lambda _: b"RIFF\0\0\0\0AVI " + bytes(400),
    "a flash tag of 16 MB": lambda _: b"FLV\x01\x05\0\0\0\x09\0\0\0\0\x09\xff\xff\xff" + bytes(60),
    "an Ogg page without its end": lambda _: b"OggS\0\x02" + bytes(20) + b"\xff" + b"\xff" * 255,
    "sync bytes and nothing else": lambda _: (b"G" + bytes(187)) * 2_000,
    "a concat script": lambda _: b"ffconcat version 1.0\nfile /etc/passwd\n",
    "a QuickTime file that names another one": lambda _: struct.pack(">I4s", 400, b"moov") + bytes(392),
}


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerPool]:
    workers = WorkerPool()
    yield workers
    workers.close()


@pytest.fixture(scope="module")
def webm(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make(tmp_path_factory.mktemp("webm") / "film", RECIPES["webm vp8"], seconds=1).read_bytes()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("good") / "good.mp4", seconds=0.5)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_a_sentence_and_the_next_film_passes(
    name: str, webm: bytes, good: Path, tmp_path: Path, shared: WorkerPool
) -> None:
    path = tmp_path / "hostile.webm"
    path.write_bytes(HOSTILE[name](webm))

    verdict = isolated_probe.check_file(path, workers=shared)

    assert isinstance(verdict, InvalidFile), verdict
    assert verdict.reason.isprintable()
    assert 10 < len(verdict.reason) <= 400
    assert str(tmp_path) not in verdict.reason
    assert isinstance(isolated_probe.check_file(good, workers=shared), ValidFile)
