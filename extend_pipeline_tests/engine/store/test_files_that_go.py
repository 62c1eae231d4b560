"""A file that goes while a result is examined is a missing one, and ends nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.store import MediaRef
from extend_pipeline_tests.engine.store.films import look_and_drive, recorded, rows
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock
from extend_pipeline_tests.support.home.every_provider import other_home


def _video_of_source(pipeline: Pipeline, ref: MediaRef) -> str | None:
    """Return the video whose source the file is, recorded already or only fetched; None for another file."""
    with pipeline.ledger.read() as connection:
        known = connection.execute(select(tables.videos.c.source_sha256, tables.videos.c.video_key)).tuples()
        urls = connection.execute(select(tables.attempts.c.parent_url, tables.attempts.c.video_key)).tuples()
        fetched = [(sha256(httpx.get(url, trust_env=False).content).hexdigest(), key) for url, key in urls if url]
        return dict([*fetched, *known]).get(ref.sha256)


@pytest.mark.parametrize(
    ("provider", "what", "opening"),
    [("kling", "source", 1), ("kling", "result", 1), ("luma", "source", 1), ("luma", "source", 2)],
)
def test_a_file_that_goes_between_the_look_and_its_opening_is_a_missing_one(
    provider: str, what: str, opening: int, home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = home.seeded(2, steps=1) if provider == "kling" else other_home(home, provider, 2)  # luma's are joined
    openings: list[Path] = []
    with home.open(JumpClock()) as pipeline:
        local = pipeline.store.local

        def open_file(ref: MediaRef) -> AbstractContextManager[Path]:
            if _video_of_source(pipeline, ref) == (entries[0]["key"] if what == "source" else None):
                openings.append(home.settings.media_dir / str(ref))
                if len(openings) == opening:
                    openings[0].unlink()
            return local(ref)

        monkeypatch.setattr(pipeline.store, "local", open_file)
        done = advance_until_idle(pipeline, max_seconds=30)
        assert {video.state for video in done.videos} == {VideoState.COMPLETE}
        assert len(openings) >= opening
        if (provider, what) == ("kling", "source"):
            assert recorded(pipeline).count("source_stored") == 2  # one of each video, though one was fetched again
        look_and_drive(pipeline)
        assert openings[0].is_file()
        films = rows(pipeline, tables.attempts.c.state, tables.attempts.c.film_path, tables.attempts.c.hop)
        assert [(row.state, row.film_path is not None) for row in films] == [("stored", provider == "luma")] * 2
        assert status(pipeline).store.is_complete
        assert len(home.sandbox.charges()["charges"]) == 2
