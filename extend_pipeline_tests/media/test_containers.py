"""A paid film is kept, measured and joined in any container and under any name."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from extend_pipeline.media.check.container import Container, NotVideo, recognise, recognise_bytes
from extend_pipeline.media.check.probe import InvalidFile, ValidFile, check_file
from extend_pipeline.media.join.film import Joined, join
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.media.store import Stored
from extend_pipeline_tests.support.media.containers import RECIPES, make
from extend_pipeline_tests.support.media.examined import poster_of, probe_of, seam_of
from extend_pipeline_tests.support.user_texts import check_user_text

MOST = 50_000_000


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the path of a film of 2 s in each container; all have the suffix .mp4."""
    folder = tmp_path_factory.mktemp("films")
    return {name: make(folder / f"{number}.mp4", recipe) for number, (name, recipe) in enumerate(RECIPES.items())}


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the path of a continuation of 1 s for each film."""
    folder = tmp_path_factory.mktemp("following")
    return {
        name: make(folder / f"{number}.mp4", recipe, seconds=1, start_s=2)
        for number, (name, recipe) in enumerate(RECIPES.items())
    }


@pytest.mark.parametrize("name", RECIPES)
def test_a_film_is_kept_byte_for_byte_under_its_true_extension(
    name: str, films: dict[str, Path], tmp_path: Path
) -> None:
    data = films[name].read_bytes()

    stored = LocalStore(tmp_path).ingest([data], expected_bytes=len(data), max_bytes=MOST, check=check_file)

    assert isinstance(stored, Stored), stored
    sha256 = hashlib.sha256(data).hexdigest()
    assert stored.path == f"{sha256[:2]}/{sha256}{RECIPES[name].suffix}"
    assert (tmp_path / stored.path).read_bytes() == data
    assert (stored.probe.width, stored.probe.height, stored.probe.frames) == (160, 96, 48)
    assert stored.probe.duration_ms == pytest.approx(2000, abs=42)
    assert stored.probe.has_audio == (RECIPES[name].audio is not None)


@pytest.mark.parametrize("name", RECIPES)
def test_a_film_is_measured_and_joined_to_one_of_its_kind(
    name: str, films: dict[str, Path], following: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "film.mp4"

    outcome = join(parent=films[name], segment=following[name], out=out, max_bytes=MOST)

    assert isinstance(outcome, Joined), outcome
    checked = check_file(out)
    assert isinstance(checked, ValidFile)
    assert checked.probe.duration_ms == pytest.approx(3000, abs=42)
    assert checked.probe.has_audio == (RECIPES[name].audio is not None)
    seam = seam_of(parent=films[name], result=out)
    assert seam.parent_is_prefix
    assert poster_of(parent=films[name], result=following[name], parent_ms=2000, segment=True)[:2] == b"\xff\xd8"


@pytest.mark.parametrize("name", ["webm vp9", "matroska", "fragmented"])
def test_streams_that_fit_an_mp4_are_copied(
    name: str, films: dict[str, Path], following: dict[str, Path], tmp_path: Path
) -> None:
    outcome = join(parent=films[name], segment=following[name], out=tmp_path / "film.mp4", max_bytes=MOST)

    assert isinstance(outcome, Joined)
    check_user_text(outcome.note)


@pytest.mark.parametrize(("parent", "segment"), [("fragmented", "webm vp8"), ("webm vp9", "quicktime")])
def test_mixed_containers_are_joined_with_a_note(
    parent: str, segment: str, films: dict[str, Path], following: dict[str, Path], tmp_path: Path
) -> None:
    outcome = join(parent=films[parent], segment=following[segment], out=tmp_path / "film.mp4", max_bytes=MOST)

    assert isinstance(outcome, Joined), outcome
    probed = probe_of(tmp_path / "film.mp4")
    assert probed.duration_ms == pytest.approx(3000, abs=42)
    assert probed.has_audio
    assert not outcome.lossless
    check_user_text(outcome.note)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_truncated_film_is_never_valid(name: str, share: float, films: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    data = films[name].read_bytes()
    length = round(len(data) * share)
    if not RECIPES[name].sees_any_cut:
        length -= length % 188 - 100  # within a packet, because a stream cut between two packets is valid
    path.write_bytes(data[:length])

    verdict = check_file(path)

    assert isinstance(verdict, InvalidFile), verdict
    assert len(verdict.reason) > 20


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (b"<html>", "web page"),
        (b'{"error": 1}', "JSON"),
        (b"\xff\xd8\xff\xe0" + bytes(20), "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "image"),
        (b"PK\x03\x04", "ZIP"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://169.254.169.254/", "play list"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "known kind"),
        (b"\x1a\x45\xdf\xa3\x84\x42\x82\x81x", "EBML"),
        (b"G" + bytes(400), "known kind"),
    ],
)
def test_a_file_that_is_no_film_is_recognised_by_its_first_bytes(head: bytes, kind: str) -> None:
    verdict = recognise_bytes(head)

    assert isinstance(verdict, NotVideo)
    assert kind in verdict.reason


def test_the_extension_is_that_of_the_bytes(films: dict[str, Path]) -> None:
    kinds = {name: recognise(path) for name, path in films.items()}
    assert all(isinstance(kind, Container) and kind.suffix == RECIPES[name].suffix for name, kind in kinds.items())
