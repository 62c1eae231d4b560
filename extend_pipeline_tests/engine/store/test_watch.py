"""How the media store is watched: not in each round, a part at a time, and films of no attempt are counted."""

from __future__ import annotations

import pytest

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.store.missing import store_now
from extend_pipeline.engine.store.watch import LOOK_EVERY_MS
from extend_pipeline.ledger.write import files
from extend_pipeline_tests.engine.store.films import results
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive


def test_a_round_does_not_check_the_store_each_time(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    from extend_pipeline.engine.store import watch

    home.seeded(1, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        looks: list[int] = []
        real = watch.look
        monkeypatch.setattr(watch, "look", lambda *arguments, **options: looks.append(1) or real(*arguments, **options))
        for _ in range(5):
            advance(pipeline, publish=False)
        assert looks == []
        pipeline.now_ms.skip(LOOK_EVERY_MS + 1)  # type: ignore[attr-defined]
        advance(pipeline, publish=False)
        advance(pipeline, publish=False)
        assert looks == [1]


def test_a_large_store_is_compared_a_part_at_a_time(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    from extend_pipeline.engine.store import watch

    home.seeded(4, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        paths = results(pipeline)
        assert len({path.parent for path in paths}) > 1
        for path in paths:
            path.unlink()
        monkeypatch.setattr(watch, "PART", 1)
        pipeline.now_ms.skip(LOOK_EVERY_MS + 1)  # type: ignore[attr-defined]
        found: list[int] = []
        while pipeline.store.mark().at_ms < pipeline.now_ms() - LOOK_EVERY_MS:  # type: ignore[union-attr]
            watch.watch_store(pipeline)
            with pipeline.ledger.read() as connection:
                found.append(len(files.found_missing(connection)))
        assert 0 < found[0] < found[-1] == len(paths)
        assert store_now(pipeline, limit=1).missing == store_now(pipeline).missing


def test_films_of_no_attempt_are_counted(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        folder = pipeline.settings.media_dir / "cd"
        folder.mkdir(exist_ok=True)
        (folder / f"{'cd' * 32}.mp4").write_bytes(b"of another")
        now = store_now(pipeline)
        assert (now.unknown, now.unknown_bytes) == (1, 10)
        assert now.is_complete
