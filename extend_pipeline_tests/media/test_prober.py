"""The processes that read films: what they inherit, how they end, and whether the file or the machine is at fault."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import Examined, ResultContext
from extend_pipeline.media.analysis.seam import UNMEASURED
from extend_pipeline.media.check.probe import InvalidFile, ValidFile, check_file
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.isolation import pool as probing
from extend_pipeline.media.isolation.pool import ProbeUnavailable, Worker, WorkerPool
from extend_pipeline.media.isolation.rlimits import Bounds
from extend_pipeline_tests.support.media.hostile import decompression_bomb
from extend_pipeline_tests.support.media.mp4 import make_clip
from extend_pipeline_tests.support.user_texts import check_user_text


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("good") / "good.mp4", seconds=1)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a film whose last frame takes some seconds to decode."""
    return decompression_bomb(tmp_path_factory.mktemp("slow") / "slow.mp4", frames=60)


@pytest.fixture
def make() -> Iterator[Callable[..., WorkerPool]]:
    pools: list[WorkerPool] = []

    def build(**bounds: Any) -> WorkerPool:
        pools.append(WorkerPool(Bounds(**bounds)))
        return pools[-1]

    yield build
    for pool in pools:
        pool.close()


def children() -> set[int]:
    """Return the process ids of this process's children."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def until(condition: Callable[[], Any], within_s: float = 60.0) -> Any:
    ends = time.monotonic() + within_s
    while not (value := condition()):
        assert time.monotonic() < ends, "the condition was not met in time"
        time.sleep(0.005)
    return value


def busy(before: set[int]) -> int | None:
    """Return the process id of a child that reads: it has used more CPU time than its start takes."""
    for pid in children() - before:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        if int(stat[11]) + int(stat[12]) > 60:  # hundredths of a second
            return pid
    return None


# What a worker inherits


def test_a_worker_gets_no_secret_no_file_and_no_lock_of_ours(
    good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KLING_SECRET_KEY", "canary-3f9a")
    workers = make()
    with (tmp_path / "ledger.sqlite").open("wb") as held:
        os.set_inheritable(held.fileno(), True)
        assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
        (worker,) = workers.idle_workers
        assert b"canary" not in Path(f"/proc/{worker.pid}/environ").read_bytes()
        assert b"canary" not in Path(f"/proc/{worker.pid}/cmdline").read_bytes()
        opened = [path.readlink().name for path in Path(f"/proc/{worker.pid}/fd").iterdir()]
        assert held.name not in opened
        assert len(opened) <= 5
        assert Path(f"/proc/{worker.pid}/cwd").readlink() == Path("/")


def test_a_worker_is_reused_for_many_films(good: Path, make: Callable[..., WorkerPool]) -> None:
    workers = make()
    pids = set()
    for _ in range(20):
        assert isolated_probe.check_file(good, workers=workers) == check_file(good)
        pids.add(workers.idle_workers[0].pid)
    assert len(pids) == 1


def test_many_threads_share_at_most_four_workers(good: Path, make: Callable[..., WorkerPool]) -> None:
    workers = make()
    with ThreadPoolExecutor(12) as pool:
        verdicts = list(pool.map(lambda _: isolated_probe.check_file(good, workers=workers), range(60)))
    assert all(isinstance(verdict, ValidFile) for verdict in verdicts)
    assert 1 <= len({worker.pid for worker in workers.idle_workers}) <= 4


def test_threads_wait_for_the_one_worker_whose_films_are_short(good: Path) -> None:
    workers = WorkerPool(Bounds(), patience_s=60)
    before = children()
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda _: isolated_probe.check_file(good, workers=workers), range(20)))
    assert all(isinstance(verdict, ValidFile) for verdict in verdicts)
    (worker,) = workers.idle_workers
    assert children() - before == {worker.pid}
    workers.close()


def test_a_film_does_not_wait_for_long_ones(good: Path, slow: Path, make: Callable[..., WorkerPool]) -> None:
    workers, before = make(), children()
    with ThreadPoolExecutor(1) as pool:
        look = pool.submit(isolated_probe.examine, slow, ResultContext(), workers=workers)
        pid = until(lambda: busy(before))
        assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
        assert pid not in {worker.pid for worker in workers.idle_workers}
        assert not look.done()
        look.result(60)


def test_after_a_fork_the_child_starts_its_own_worker(good: Path, make: Callable[..., WorkerPool]) -> None:
    workers = make()
    assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
    (worker,) = workers.idle_workers

    def in_child() -> None:
        is_valid = isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
        is_new = workers.idle_workers[0].pid != worker.pid
        workers.close()
        os._exit(0 if is_valid and is_new else 1)

    child = multiprocessing.get_context("fork").Process(target=in_child)
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
    assert workers.idle_workers == (worker,)


# How a worker ends


def test_a_retired_worker_is_replaced(good: Path, make: Callable[..., WorkerPool]) -> None:
    workers = make(idle_s=0.05)
    assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
    first = workers.idle_workers[0].pid
    until(lambda: not is_alive(first))
    assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)


def test_a_worker_retires_after_its_share_of_cpu_time(good: Path, make: Callable[..., WorkerPool]) -> None:
    workers = make(life_cpu_s=0.0001)
    pids = set()
    for _ in range(4):
        assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)
        pids.add(workers.idle_workers[0].pid)
    assert len(pids) > 1


def test_a_worker_killed_in_the_middle_of_a_film_is_replaced_once(slow: Path, make: Callable[..., WorkerPool]) -> None:
    workers, before = make(), children()
    with ThreadPoolExecutor(1) as pool:
        look = pool.submit(isolated_probe.examine, slow, ResultContext(), workers=workers)
        os.kill(until(lambda: busy(before)), signal.SIGKILL)
        assert look.result(60).poster.startswith(b"\xff\xd8\xff")


def test_a_worker_killed_twice_is_no_verdict_on_the_film(
    slow: Path, good: Path, make: Callable[..., WorkerPool]
) -> None:
    workers, before = make(), children()
    with ThreadPoolExecutor(1) as pool:
        look = pool.submit(isolated_probe.examine, slow, ResultContext(), workers=workers)
        first = until(lambda: busy(before))
        os.kill(first, signal.SIGKILL)
        os.kill(until(lambda: busy(before | {first})), signal.SIGKILL)
        with pytest.raises(ProbeUnavailable) as caught:
            look.result(60)
    check_user_text(str(caught.value))
    assert isinstance(isolated_probe.check_file(good, workers=workers), ValidFile)


def test_a_whole_film_whose_frames_end_two_workers_is_kept_without_them(
    slow: Path, make: Callable[..., WorkerPool]
) -> None:
    workers, before = make(), children()
    with ThreadPoolExecutor(1) as pool:
        look = pool.submit(isolated_probe.examine, slow, ResultContext(), workers=workers)
        first = until(lambda: busy(before))
        os.kill(first, signal.SIGSEGV)
        os.kill(until(lambda: busy(before | {first})), signal.SIGSEGV)
        assert look.result(60) == Examined(check_file(slow).probe)


_PARENT = """
import sys, threading
from pathlib import Path
from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import ResultContext
from extend_pipeline.media.isolation import isolated_probe, pool
film = Path(sys.argv[1])
isolated_probe.check_file(film)
print(pool.shared_pool(isolated_probe.READ).idle_workers[0].pid, flush=True)
isolated_probe.examine(film, ResultContext())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_ends_when_its_parent_is_killed(slow: Path, how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(slow)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_alive(pid)
        parent.send_signal(how)
        parent.wait(10)
        until(lambda: not is_alive(pid), 10)


def test_workers_end_with_the_program(good: Path) -> None:
    script = _PARENT.rpartition("isolated_probe.examine")[0]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(good)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    until(lambda: not is_alive(int(done.stdout)), 10)


# Whether the file or the machine is at fault


def test_a_worker_that_cannot_be_started_is_no_verdict(
    good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ProbeUnavailable) as caught:
        isolated_probe.check_file(good, workers=make())
    check_user_text(str(caught.value))
    assert issubclass(ProbeUnavailable, OSError)


def test_a_worker_that_ends_before_it_is_ready_is_no_verdict(
    good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "BOOT", "raise SystemExit(3)")
    with pytest.raises(ProbeUnavailable) as caught:
        isolated_probe.check_file(good, workers=make())
    check_user_text(str(caught.value))


def test_a_missing_film_raises(make: Callable[..., WorkerPool], tmp_path: Path) -> None:
    workers = make()
    with pytest.raises(FileNotFoundError):
        isolated_probe.check_file(tmp_path / "nowhere.mp4", workers=workers)


def worker_that_sends(text: str) -> str:
    """Return the program of a worker that sends the same message for every task."""
    ready = json.dumps({"ok": True})
    message = repr(text) if text != "long" else "'x' * 10**6"
    return f"import sys\nprint({ready!r}, flush=True)\nfor _ in sys.stdin: print({message}, flush=True)"


VALID = {
    "duration_ms": 1000, "width": 320, "height": 180, "codec": "h264", "frames": 12, "fps": 12.0, "has_audio": False,
}  # fmt: skip


def valid(**changes: Any) -> str:
    return json.dumps({"ok": {"valid": {**VALID, **changes}}})


@pytest.mark.parametrize(
    "text",
    [
        "", "garbage", "{}", "[]", "null", "[" * 100_000,
        '{"ok": null}', '{"ok": {"valid": {}}}', '{"ok": {"invalid": 5}}',
        '{"ok": {"invalid": ""}}', '{"ok": 1, "invalid": 2}',
        '{"surprise": true}', '{"failed": [12, ""]}',
        '{"failed": [0, "x"]}', '{"failed": [true, "x"]}', '{"failed": "x"}',
        '{"ok": {}}\n{"ok": {}}', "long", valid(duration_ms=-1), valid(duration_ms=10**18), valid(width=10**6),
        valid(height="180"), valid(codec="\x1b[2J"), valid(codec="x" * 100), valid(frames=0), valid(frames=True),
        valid(fps=float("nan")), valid(fps=float("inf")), valid(has_audio="no"), valid(extra=1),
    ],
    ids=lambda text: text[:40],
)  # fmt: skip
def test_an_invalid_message_never_makes_a_film_valid(
    text: str, good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "BOOT", worker_that_sends(text))
    verdict = isolated_probe.check_file(good, workers=make())
    assert isinstance(verdict, InvalidFile)
    assert verdict.reason.isprintable()


def test_a_valid_message_makes_a_film_valid(
    good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "BOOT", worker_that_sends(valid()))
    assert isinstance(isolated_probe.check_file(good, workers=make()), ValidFile)


@pytest.mark.parametrize("jpeg", ["AAAA", "/9j/!!", "A" * 50_000, 7, None], ids=str)
def test_a_poster_is_a_jpeg_or_none_and_so_is_an_invalid_film(
    jpeg: object, good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"seam": {"psnr_db": 1e9}, "jpeg": jpeg, "kept": False, "film": {"lossless": 1}}
    message = json.loads(valid())["ok"] | found
    monkeypatch.setattr(probing, "BOOT", worker_that_sends(json.dumps({"ok": message})))
    examined = isolated_probe.examine(good, ResultContext(parent=good), workers=make())
    assert isinstance(examined, Examined)
    assert (examined.poster, examined.seam, examined.film) == (None, UNMEASURED, None)


def test_a_film_that_ends_its_worker_costs_neither_poster_nor_seam(
    good: Path, tmp_path: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = "film.join_by_copying = lambda *_, **__: os.abort()"
    writes = "import os; from extend_pipeline.media.analysis import examine as film; " + ends + "; "
    monkeypatch.setattr(
        probing, "BOOT", probing.BOOT.replace("from extend_pipeline", writes + "from extend_pipeline", 1)
    )
    context = ResultContext(parent=good, kind=OutputKind.SEGMENT, film=tmp_path / "film.mp4", max_film_bytes=1 << 20)

    examined = isolated_probe.examine(good, context, workers=make())

    assert examined == isolated_probe.examine(good, replace(context, film=None), workers=make())
    assert isinstance(examined, Examined)
    assert examined.poster is not None


def test_a_film_for_which_there_is_no_room_leaves_its_parts_examined(
    good: Path, tmp_path: Path, make: Callable[..., WorkerPool]
) -> None:
    context = ResultContext(parent=good, kind=OutputKind.SEGMENT, film=tmp_path / "film.mp4", max_film_bytes=1 << 20)

    assert isinstance(roomy := isolated_probe.examine(good, context, workers=make(file_bytes=1 << 20)), Examined)
    assert isinstance(full := isolated_probe.examine(good, context, workers=make(file_bytes=1_000)), Examined)

    assert roomy.film is not None
    assert roomy.film.probe.duration_ms == 2_000
    assert full == replace(roomy, film=None)


@pytest.mark.parametrize("text", ['{"ok": {}}', '{"ok": {"invalid": ""}}', '{"ok": {"valid": 1, "jpeg": null}}'])
def test_a_message_without_a_valid_film_is_none(
    text: str, good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "BOOT", worker_that_sends(text))
    assert isinstance(isolated_probe.examine(good, ResultContext(), workers=make()), InvalidFile)


def test_a_worker_that_sends_no_message_is_no_verdict(
    good: Path, make: Callable[..., WorkerPool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "BOOT", worker_that_sends("x").replace("print('x', flush=True)", "pass"))
    monkeypatch.setattr(probing, "MIN_WALL_S", 0.5)
    with pytest.raises(ProbeUnavailable) as caught:
        isolated_probe.check_file(good, workers=make(cpu_s=0.01))
    check_user_text(str(caught.value))


def test_a_worker_is_used_by_one_thread_at_a_time(good: Path, make: Callable[..., WorkerPool]) -> None:
    workers, seen, lock = make(), set[int](), threading.Lock()
    original = Worker.ask

    def watched(worker: Worker, line: bytes, *, within_s: float) -> Any:
        with lock:
            assert worker.pid not in seen
            seen.add(worker.pid)
        try:
            return original(worker, line, within_s=within_s)
        finally:
            with lock:
                seen.discard(worker.pid)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(8) as pool:
        patch.setattr(Worker, "ask", watched)
        assert all(
            isinstance(verdict, ValidFile)
            for verdict in pool.map(lambda _: isolated_probe.check_file(good, workers=workers), range(40))
        )
