"""A deep check reads every film, finds damaged ones by their hash, and goes on where it was interrupted."""

from __future__ import annotations

from typing import Any

import pytest

from extend_pipeline.engine.status import status
from extend_pipeline.engine.store.deep_check import check_deeply
from extend_pipeline.ledger.write.files import Cause
from extend_pipeline_tests.engine.store.films import results
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive


def test_a_damaged_film_is_found_by_its_hash_and_replaced(home: EngineHome) -> None:
    home.seeded(1, steps=2)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        first, _ = results(pipeline)
        valid = first.read_bytes()
        first.write_bytes(valid[:-1] + bytes([valid[-1] ^ 1]))
        assert status(pipeline).store.is_complete  # the name and the length are right
        done = check_deeply(pipeline)
        assert done.damaged == [f"{first.parent.name}/{first.name}"]
        (gone,) = status(pipeline).store.missing
        assert gone.cause is Cause.DAMAGED
        drive(pipeline)
        assert first.read_bytes() == valid
        assert check_deeply(pipeline).damaged == []
        assert status(pipeline).store.is_complete


def test_an_interrupted_deep_check_goes_on(home: EngineHome) -> None:
    home.seeded(3, steps=1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        folders = sorted({path.parent.name for path in results(pipeline)})

        def end(done: Any) -> None:
            if done.folder == folders[-1]:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            check_deeply(pipeline, on_progress=end)
        again = check_deeply(pipeline)
        assert again.first_folder == folders[-1]
        assert again.files < 3 + len(folders)
        assert check_deeply(pipeline).first_folder == ""
