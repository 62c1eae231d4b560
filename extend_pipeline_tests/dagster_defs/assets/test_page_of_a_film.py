"""The page of a film whose poster is one of an earlier version, is damaged, or is gone."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.media.analysis.previews import split
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video

PREVIEWS = ["poster_before", "poster_after", "poster_end"]


def names(place: Place) -> list[str]:
    """Materialise the film's partition again, and return the names of its images."""
    assert place.materialise("completed_extensions", keys=["one"]).success
    latest = place.latest("completed_extensions", "one")
    assert latest is not None
    return [name for name, entry in latest.metadata.items() if isinstance(entry, dg.MarkdownMetadataValue)]


def poster_file(home: Path) -> Path:
    """Return the file of a home's only poster."""
    (path,) = home.rglob("*.poster.jpg")
    return path


@pytest.fixture
def film(place: Place) -> Place:
    """Return a place with one film of one hop, whose page has a poster and its previews."""
    place.write([video("one", extend=ONE_HOP)])
    place.sensor("catalog_sensor")
    assert names(place) == [*PREVIEWS, "poster"]
    return place


def test_a_poster_of_an_earlier_version_has_no_previews(film: Place) -> None:
    path = poster_file(film.home)
    plain, _ = split(path.read_bytes())
    path.write_bytes(plain)
    assert names(film) == ["poster"]


def test_a_poster_that_is_too_large_or_gone_is_left_out(film: Place) -> None:
    path = poster_file(film.home)
    path.write_bytes(path.read_bytes() + b"\0" * 10_000)
    assert names(film) == []
    path.unlink()
    assert names(film) == []


def test_the_poster_that_is_shown_after_a_click_is_without_its_previews(film: Place) -> None:
    latest = film.latest("completed_extensions", "one")
    assert latest is not None
    plain, previews = split(poster_file(film.home).read_bytes())
    large, small = latest.metadata["poster"].value, latest.metadata["poster_end"].value
    assert len(str(large)) < len(plain) * 4 / 3 + 100
    assert len(str(small)) < len(previews[2]) * 4 / 3 + 100
