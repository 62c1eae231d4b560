"""A hop's film is examined once, against the frames that were kept of the hop before; they go when it is stored."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.base import failpoints
from extend_pipeline.base.failpoints import FailpointError
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.media.analysis import kept_frames
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.store import MediaRef
from extend_pipeline_tests.engine.store.films import recorded
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.processes.unconfined import read_films_here

HOPS = 3


@pytest.fixture(autouse=True)
def _films_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read films in this process, so that it can count."""
    for name in ("check_file", "examine", "join"):
        monkeypatch.setattr(isolated_probe, name, getattr(isolated_probe, name))
    read_films_here()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often libav opens each file of a store by its sha256; a file that is being fetched has none."""
    import av

    counts, open_file = Counter[str](), av.open

    def counted(name: Any, *rest: Any, **options: Any) -> Any:
        if isinstance(name, str):
            counts[Path(name).name.partition(".")[0]] += 1
        return open_file(name, *rest, **options)

    monkeypatch.setattr(av, "open", counted)
    return counts


def seams(pipeline: Pipeline) -> list[tuple[Any, ...]]:
    with pipeline.ledger.read() as connection:
        rows = queries.attempts_of(connection, ["v000"])
    return [(row.hop, row.output_kind, row.seam_psnr_centi_db, row.parent_is_prefix) for row in rows]


def frames_of(home: EngineHome) -> list[Path]:
    return sorted((home.settings.media_dir / ".frames").glob("*"))


def test_the_film_of_a_later_hop_is_opened_only_while_it_is_fetched(home: EngineHome, opened: Counter[str]) -> None:
    home.seeded(1, steps=HOPS)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            rows = queries.attempts_of(connection, ["v000"])
        stored = [MediaRef.parse(row.path).sha256 for row in rows if row.path]

        assert [hop[0] for hop in seams(pipeline)] == [1, 2, 3]
        assert all(hop[1] == "full" and hop[2] and hop[3] for hop in seams(pipeline))
    # the first film was stored before the source that it continues was fetched, and is examined once more
    assert [opened[sha256] for sha256 in stored] == [1, 0, 0]
    assert frames_of(home) == []


def test_frames_are_kept_while_the_next_hop_is_awaited(home: EngineHome) -> None:
    home.seeded(1, steps=HOPS)
    with home.open(clock := JumpClock()) as pipeline:
        while not (kept := frames_of(home)):
            advance(pipeline, publish=False)
            clock.skip(500)
        with pipeline.ledger.read() as connection:
            rows = queries.attempts_of(connection, ["v000"])
        assert [path.stem for path in kept] == [row.sha256 for row in rows if row.hop == 1]


@pytest.mark.parametrize("how", ["lost", "damaged", "none may be kept"])
def test_without_kept_frames_the_figures_are_the_same(
    home: EngineHome, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.seeded(1, steps=HOPS)
    keep = kept_frames.KeptFrames.keep
    if how == "none may be kept":
        monkeypatch.setattr(kept_frames, "MAX_FILES", 0)

    def keep_badly(self: kept_frames.KeptFrames, written: Path, sha256: str) -> None:
        keep(self, written, sha256)
        path = self.find(sha256)
        assert path is not None
        if how == "lost":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1])

    monkeypatch.setattr(kept_frames.KeptFrames, "keep", keep_badly)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert all(hop[1] == "full" and hop[2] and hop[3] for hop in seams(pipeline))
    assert len(seams(pipeline)) == HOPS


def test_the_source_is_recorded_in_the_transaction_of_the_first_result(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    with home.open(JumpClock()) as pipeline:
        failpoints.arm("collect.before_stored=raise")
        try:
            with pytest.raises(FailpointError):
                drive(pipeline)
        finally:
            failpoints.disarm()
        assert recorded(pipeline) == []
        drive(pipeline)
        assert recorded(pipeline) == ["source_stored", "attempt_stored"]


def test_a_fetched_source_is_recorded_though_its_result_can_not_be_examined(
    home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.seeded(1, steps=1)

    def unavailable(*_arguments: Any, **_options: Any) -> Any:
        raise ProbeUnavailable("no process can be started")

    with home.open(clock := JumpClock()) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr(isolated_probe, "examine", unavailable)
            while not recorded(pipeline):
                advance(pipeline, publish=False)
                clock.skip(5_000)
        with pipeline.ledger.read() as connection:
            [row] = queries.attempts_of(connection, ["v000"])
        assert (row.state, recorded(pipeline)) == (AttemptState.SUCCEEDED, ["source_stored"])
        drive(pipeline)
        assert recorded(pipeline) == ["source_stored", "attempt_stored"]
        assert all(hop[1] == "full" and hop[2] and hop[3] for hop in seams(pipeline))


def test_a_source_stays_known_where_the_disk_has_no_room_for_its_result(
    home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.seeded(1, steps=1)

    def full(*_arguments: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with home.open(clock := JumpClock()) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr(pipeline.store, "put_poster", full)
            for _ in range(20):
                advance(pipeline, publish=False)
                clock.skip(5_000)
        assert recorded(pipeline) == ["source_stored"]
        clock.skip(30_000)
        drive(pipeline)
        assert recorded(pipeline) == ["source_stored", "attempt_stored"]
