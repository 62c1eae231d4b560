"""Every hostile file is refused with a sentence, and a good film after it still passes."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from extend_pipeline.media.analysis.examine import Examined, ResultContext
from extend_pipeline.media.analysis.seam import UNMEASURED
from extend_pipeline.media.check.probe import InvalidFile, ValidFile, check_file
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.isolation.pool import WorkerPool, is_from_outside
from extend_pipeline.media.isolation.rlimits import Bounds
from extend_pipeline_tests.support.media.hostile import ABSURD, absurd, decompression_bomb, endless_runs
from extend_pipeline_tests.support.media.mp4 import make_clip
from extend_pipeline_tests.support.user_texts import check_user_text

MB = 1 << 20


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("good") / "good.mp4", seconds=1)


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return decompression_bomb(tmp_path_factory.mktemp("bomb") / "bomb.mp4", frames=6)


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerPool]:
    workers = WorkerPool()
    yield workers
    workers.close()


@pytest.mark.parametrize("name", ABSURD)
def test_an_absurd_file_is_refused_in_a_sentence_and_the_next_film_passes(
    name: str, tmp_path: Path, good: Path, shared: WorkerPool
) -> None:
    path = absurd(name, tmp_path)
    began = time.monotonic()

    verdict = isolated_probe.check_file(path, workers=shared)

    assert isinstance(verdict, InvalidFile)
    assert verdict.reason.isprintable()
    assert 10 < len(verdict.reason) <= 400
    assert str(tmp_path) not in verdict.reason
    assert time.monotonic() - began < 60
    assert isinstance(isolated_probe.check_file(good, workers=shared), ValidFile)


def test_a_decompression_bomb_within_the_bounds_is_only_a_large_film(bomb: Path, shared: WorkerPool) -> None:
    assert bomb.stat().st_size < 2_000_000, "the file is small, and its decoded frames are 100 MB each"
    verdict = isolated_probe.check_file(bomb, workers=shared)
    assert isinstance(verdict, ValidFile)
    assert (verdict.probe.width, verdict.probe.height) == (8_192, 8_192)
    examined = isolated_probe.examine(bomb, ResultContext(), workers=shared)
    assert isinstance(examined, Examined)
    assert examined.poster is not None
    assert len(examined.poster) <= 10_000


def test_a_decompression_bomb_that_takes_more_memory_than_allowed_is_refused(bomb: Path, good: Path) -> None:
    workers = WorkerPool(Bounds(memory_bytes=96 * MB))
    try:
        verdict = isolated_probe.check_file(bomb, workers=workers)
        assert isinstance(verdict, InvalidFile), "libav raises, or the process ends"
        assert isinstance(isolated_probe.examine(bomb, ResultContext(), workers=workers), InvalidFile)
        beside = isolated_probe.examine(good, ResultContext(parent=bomb), workers=workers)
        assert beside == Examined(check_file(good).probe, seam=UNMEASURED), "a parent that can't be read harms none"
        assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
    finally:
        workers.close()


def test_a_header_that_takes_more_memory_than_allowed_is_refused(tmp_path: Path, good: Path) -> None:
    path = endless_runs(tmp_path / "runs.mp4", tmp_path)
    workers = WorkerPool(Bounds(memory_bytes=64 * MB))
    try:
        verdict = isolated_probe.check_file(path, workers=workers)
        assert isinstance(verdict, InvalidFile)
        check_user_text(verdict.reason)
        assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
    finally:
        workers.close()


def test_a_film_whose_frames_take_more_cpu_time_than_allowed_is_kept_without_them(
    tmp_path: Path, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = decompression_bomb(tmp_path / "long.mp4", frames=200)
    workers = WorkerPool()
    monkeypatch.setattr(isolated_probe, "FRAMES_CPU_S", 1.0)
    try:
        began = time.monotonic()
        # decoding all two hundred frames up to the last one takes ten seconds of CPU time
        assert isolated_probe.examine(path, ResultContext(), workers=workers) == Examined(check_file(path).probe)
        assert time.monotonic() - began < 100
        assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
    finally:
        workers.close()


def test_a_worker_is_bounded_by_the_kernel(good: Path) -> None:
    workers = WorkerPool()
    try:
        isolated_probe.check_file(good, workers=workers)
        (worker,) = workers.idle_workers
        limits = Path(f"/proc/{worker.pid}/limits").read_text()
        rows = {line[:26].strip(" ").replace(" ", "_"): line[26:].split()[:2] for line in limits.splitlines()[1:]}
        assert rows["Max_file_size"] == ["0", "0"]
        assert rows["Max_core_file_size"] == ["0", "0"]
        assert rows["Max_open_files"] == ["32", "32"]
        assert int(rows["Max_address_space"][1]) < 2 << 30
        assert 0 < int(rows["Max_cpu_time"][0]) < 60
    finally:
        workers.close()


def test_the_limit_of_cpu_time_is_per_film(good: Path) -> None:
    workers = WorkerPool(Bounds(cpu_s=1.0))
    try:
        assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
        (worker,) = workers.idle_workers
        for _ in range(400):
            assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
        stat = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(stat[11]) + int(stat[12]) > 20, "the worker must have used some CPU time"
        assert [idle.pid for idle in workers.idle_workers] == [worker.pid]
    finally:
        workers.close()


def test_the_check_without_a_worker_has_the_same_verdict(good: Path, shared: WorkerPool, tmp_path: Path) -> None:
    assert isolated_probe.check_file(good, workers=shared) == check_file(good)
    for name in ("cut at 70 %", "2^32 - 1 samples", "a play list"):
        path = absurd(name, tmp_path)
        assert isolated_probe.check_file(path, workers=shared) == check_file(path)


def test_a_worker_ended_by_the_files_own_fault_is_distinguished_from_one_that_was_killed() -> None:
    own_signals = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGXCPU}
    assert not any(is_from_outside(-number) for number in own_signals)
    assert not is_from_outside(1)
    assert all(is_from_outside(-number) for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT))
