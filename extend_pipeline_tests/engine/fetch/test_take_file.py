"""The operator gives a paid extension the film that could not be fetched: nothing is paid; a wrong film is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from extend_pipeline.engine.decisions.resolve import Declined, Resolved
from extend_pipeline.engine.fetch.take_file import take_file
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.media.mp4 import make_clip

WHERE = "vidu-0/1"
WHY = "sent by their support"


@pytest.fixture
def lost(home: EngineHome, ledger_url: str) -> Iterator[Pipeline]:
    """Yield a home whose only extension was paid and whose result is lost."""
    home.ledger_url = ledger_url
    other_home(home, "vidu")
    home.sandbox.faults([{"kind": "expired_url", "where": "download", "skip": 1, "match": {"provider": "vidu"}}])
    with home.open() as pipeline:
        (video,) = drive(pipeline).videos
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.RESULT_LOST
        assert f"{WHERE} take FILE" in video.blocker.todo
        yield pipeline


def take(pipeline: Pipeline, file: Path) -> Resolved | Declined:
    """Take the file as the film of the lost extension."""
    return take_file(pipeline, WHERE, file, who="ann", why=WHY)


def test_a_film_from_the_provider_completes_the_video_and_pays_nothing(
    lost: Pipeline, home: EngineHome, tmp_path: Path
) -> None:
    film = make_clip(tmp_path / "sent.mp4", seconds=9)
    assert isinstance(take(lost, film), Resolved)
    assert drive(lost).videos[0].state is VideoState.COMPLETE
    totals = reckon(home, lost.ledger)
    assert (totals.charges, totals.states) == (1, {"stored": 1})
    with lost.ledger.read() as connection:
        [row] = queries.attempts_of(connection, ["vidu-0"])
        stored = select(tables.events.c.actor).where(tables.events.c.kind == "attempt_stored")
        actors = connection.execute(stored).scalars().all()
    assert (lost.settings.media_dir / row.path).read_bytes() == film.read_bytes()
    assert actors == [f"ann ({WHY})"]
    assert replays_to_the_same(lost.ledger, home.path)
    assert isinstance(take(lost, film), Declined)  # it waits for none any more


def test_the_copy_of_a_source_that_it_is_compared_with_is_recorded_by_the_process(
    home: EngineHome, tmp_path: Path
) -> None:
    home.seeded(1, steps=1)
    home.sandbox.faults([{"kind": "expired_url", "where": "download", "times": 99}])
    with home.open() as pipeline:
        drive(pipeline)
        home.sandbox.clear_faults()
        film = make_clip(tmp_path / "sent.mp4", seconds=9)
        assert isinstance(take_file(pipeline, "v000/1", film, who="ann", why=WHY), Resolved)
        events = tables.events.c
        kinds = select(events.kind, events.actor).where(events.kind.in_(("source_stored", "attempt_stored")))
        with pipeline.ledger.read() as connection:
            recorded = connection.execute(kinds.order_by(events.seq)).tuples().all()
    assert sorted(recorded) == [("attempt_stored", f"ann ({WHY})"), ("source_stored", pipeline.owner)]


def test_a_file_that_is_no_film_and_a_film_of_another_hop_are_declined(
    lost: Pipeline, home: EngineHome, tmp_path: Path
) -> None:
    page = tmp_path / "page.mp4"
    page.write_text("<html>sign in</html>")
    with lost.ledger.read() as connection:
        [video] = queries.videos(connection, keys=["vidu-0"])
    [source] = home.settings.media_dir.rglob(f"{video.source_sha256}*.mp4")
    for file in (page, source):
        assert isinstance(take(lost, file), Declined), file
    assert isinstance(take_file(lost, "vidu-0/2", source, who="ann", why=""), Declined)
    assert reckon(home, lost.ledger).states == {"result_lost": 1}
