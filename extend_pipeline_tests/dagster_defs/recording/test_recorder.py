"""The recorder of partitions goes on where it stopped, also after a crash, and fills up again what Dagster has lost."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from extend_pipeline.dagster_defs.assets.materializations import COMPLETED_EXTENSIONS
from extend_pipeline.dagster_defs.mount import OWN
from extend_pipeline.dagster_defs.recording.progress import Progress
from extend_pipeline.dagster_defs.recording.recorder import Recorder
from extend_pipeline.dagster_defs.sensors.unrecorded import unrecorded
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.guards.ledger_look import accept
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline_tests.dagster_defs.conftest import ONE_HOP, Place
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.ledger.plans import recorded


@pytest.fixture
def pipeline(place: Place) -> Iterator[Pipeline]:
    """Yield a home with one finished video that no recorder has seen."""
    place.write([video("one", extend=ONE_HOP)])
    with place.resource.open() as opened:
        advance_until_idle(opened, max_seconds=20)
        yield opened


def written(place: Place, pipeline: Pipeline, *, most: int = 1_000, last: bool = False) -> list[str]:
    """Let a new recorder work until it has written `most` materializations, with the `last` ones of a run or without;
    return their assets."""
    assets: list[str] = []
    recorder = Recorder(place.instance, pipeline, OWN)
    for event in recorder.last_events() if last else recorder.pending_events():
        place.instance.report_runless_asset_event(event)
        assets.append(event.asset_key.to_user_string())
        if len(assets) == most:
            break
    return assets


BY_KEY = "video_key IN"  # how a statement reads the rows of videos
ALL = ["source_videos", "extension_requests", "completed_extensions"]


def test_a_new_recorder_reads_nothing_that_is_recorded(place: Place, pipeline: Pipeline) -> None:
    assert written(place, pipeline) == ALL
    with recorded(pipeline.ledger) as statements:
        assert written(place, pipeline) == []
    assert not [text for text, _ in statements if BY_KEY in text]


def test_what_was_written_before_a_crash_is_not_written_twice(place: Place, pipeline: Pipeline) -> None:
    assert written(place, pipeline, most=1) == ALL[:1]
    assert written(place, pipeline) == ALL[1:]
    assert written(place, pipeline) == []


def test_a_wiped_asset_fills_up_again(place: Place, pipeline: Pipeline) -> None:
    assert written(place, pipeline) == ALL
    place.instance.wipe_assets([COMPLETED_EXTENSIONS])
    assert written(place, pipeline) == ALL[2:]


def test_another_instance_gets_everything(place: Place, pipeline: Pipeline) -> None:
    assert written(place, pipeline) == ALL
    with dg.DagsterInstance.ephemeral() as place.instance:
        assert written(place, pipeline) == ALL


def test_a_poster_that_cannot_be_read_is_left_out_and_the_rest_is_recorded(place: Place, pipeline: Pipeline) -> None:
    [poster] = (place.home / "state" / "media").rglob("*.jpg")
    poster.unlink()
    poster.mkdir()  # an error of the operating system for every user, as a foreign owner's file is one for most
    assert written(place, pipeline) == ALL
    film = place.latest("completed_extensions", "one")
    assert film is not None
    assert "poster" not in film.metadata
    assert film.metadata["bytes"].value


def test_a_first_run_that_is_killed_before_its_end_is_not_repeated(place: Place, pipeline: Pipeline) -> None:
    assert written(place, pipeline) == ALL
    assert written(place, pipeline, last=True) == []


def test_a_restored_ledger_that_has_grown_past_the_kept_number_is_recorded_anew(place: Place, tmp_path: Path) -> None:
    ledger, backup = place.home / "state" / "ledger.sqlite", tmp_path / "backup.sqlite"
    extend_in_a_shell(place, "zero")
    shutil.copyfile(ledger, backup)
    extend_in_a_shell(place, "zero", "one", "two")
    with place.resource.open() as opened:
        assert written(place, opened) == [asset for asset in ALL for _ in range(3)]
        before = head_of(opened)
    shutil.copyfile(backup, ledger)
    with place.resource.open() as opened:
        accept(opened.settings, opened.ledger, who="test", why="restored", now_ms=opened.now_ms())
    extend_in_a_shell(place, "zero", "three")  # another history, whose numbers are recorded as those of others
    extend_in_a_shell(place, "zero", "three", "four", "five")
    with place.resource.open() as opened:
        assert head_of(opened) > before
        assert unrecorded(place.instance, opened, OWN)
        assert written(place, opened) == [asset for asset in ALL for _ in range(3)]
        assert unrecorded(place.instance, opened, OWN) == ""


def test_a_number_that_an_earlier_version_kept_without_an_event_is_taken_as_it_is(
    place: Place, pipeline: Pipeline
) -> None:
    assert written(place, pipeline) == ALL
    with pipeline.ledger.read() as connection:
        progress = Progress.of(place.instance, OWN, connection)
        head = queries.head(connection)
    of_before = f"extend_pipeline/recorded/{progress.place}"
    place.instance.daemon_cursor_storage.set_cursor_values({of_before: str(head - 1)})
    with pipeline.ledger.read() as connection:
        assert progress.recorded(connection) == head - 1


def extend_in_a_shell(place: Place, *keys: str) -> None:
    """Extend videos as the command line does."""
    place.write([video(key, extend=ONE_HOP) for key in keys])
    with place.resource.open() as opened:
        advance_until_idle(opened, max_seconds=20)


def head_of(pipeline: Pipeline) -> int:
    """Return the number of the ledger's last event."""
    with pipeline.ledger.read() as connection:
        return queries.head(connection)


def test_a_home_without_a_film_is_not_read_again(place: Place) -> None:
    place.write([video("one")])
    with place.resource.open() as opened:
        declare_catalogue(opened)
        assert written(place, opened, last=True) == ALL[:1]
        with recorded(opened.ledger) as statements:
            assert written(place, opened, last=True) == []
    assert not [text for text, _ in statements if BY_KEY in text]
