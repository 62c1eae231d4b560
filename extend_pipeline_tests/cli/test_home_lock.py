"""A verb that runs until Ctrl-C locks its home: a second one is refused, removes nothing, and names the first."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.commands.demo.home_lock import (
    RECORD,
    HomeInUseError,
    is_alive,
    lock_home,
    read_record,
)
from extend_pipeline.commands.demo.keeper import left_open
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.home import open_home
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.demo import write_demo
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text

PARENT = """
import sys, time
from pathlib import Path
from extend_pipeline.commands.demo.home_lock import lock_home
from extend_pipeline.commands.demo.processes import running
home = Path(sys.argv[1])
child = [sys.executable, "-c", sys.argv[2]]
with lock_home(home, state=home / "state", verb="dev", now_ms=0) as lock:
    with running("one", child, log=home / "one.log", environment={}, lock=lock):
        with running("two", child, log=home / "two.log", environment={}, lock=lock):
            while not all((home / name).stat().st_size for name in ("one.log", "two.log")):
                time.sleep(0.01)
            print("ready", flush=True)
            sys.stdin.read()
"""
QUIET = (
    "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\nprint('up', flush=True)\n"
    "time.sleep(120)"
)
DEAF = (  # ignores SIGINT, as does its own child, which stays in its group
    "import signal, subprocess, sys, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'])\nprint('up', flush=True)\n"
    "time.sleep(120)"
)


def state_of(home: Path) -> dict[str, Any]:
    """Return every file of the state but the sandbox's log, with its bytes and its time of change (ns)."""
    return {
        str(path): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (home / "state").rglob("*")
        if path.is_file() and path.suffix != ".log"
    }


@pytest.fixture
def demo_home(tmp_path: Path) -> Iterator[Cli]:
    """A copy of the demo with a free port, and a film of an earlier demo in its state. A demo sets variables of
    its process, which are put back."""
    environment = dict(os.environ)
    home = tmp_path / "demo"
    (home / "state" / "media").mkdir(parents=True)
    (home / "state" / ".demo").touch()
    (home / "state" / "media" / "film.mp4").write_bytes(b"a film of an earlier demo")
    yield Cli(write_demo(home))
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[Any]:
    """Start a process that holds a home and has two children; killed at the end, with what it started."""
    started: list[subprocess.Popen[str]] = []
    groups: set[int] = set()

    def start(child: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        command = [sys.executable, "-c", PARENT, str(tmp_path), child]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        record = read_record(tmp_path / "state" / RECORD)
        assert record is not None
        groups.update(record["children"].values())
        return process, record

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_a_second_verb_is_refused_and_the_holder_of_the_home_is_named(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with lock_home(tmp_path, state=state, verb="dev", now_ms=1_793_520_000_000):
        with pytest.raises(HomeInUseError) as refused, lock_home(tmp_path, state=state, verb="demo", now_ms=0):
            pass
        for part in (str(tmp_path), "`dev`", "2026-11-01 08:00:00 UTC", f"kill {os.getpid()}"):
            assert part in refused.value.message
        check_user_text(refused.value.message, without={f" {os.getpid()}": " PID"})
        shutil.rmtree(state)  # as `make clean` does: the lock doesn't lie in what is removed
        with pytest.raises(HomeInUseError), lock_home(tmp_path, state=state, verb="demo", now_ms=0):
            pass
    with lock_home(tmp_path, state=state, verb="demo", now_ms=0):
        assert read_record(state / RECORD) is not None
    assert not (state / RECORD).exists()


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b'{"pid": 1}', b'{"pid": "x", "children": 3}'])
def test_a_record_that_cannot_be_read_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    assert read_record(tmp_path / RECORD) is None


def test_children_end_with_a_parent_that_was_killed(tmp_path: Path, parent: Any) -> None:
    process, record = parent(QUIET)
    assert all(is_alive(pid) for pid in record["children"].values())
    process.kill()
    process.wait()
    eventually(lambda: _can_be_locked(tmp_path))  # children hold the lock: it is free when both have ended


def test_children_that_go_on_are_named_and_the_home_stays_locked(tmp_path: Path, parent: Any) -> None:
    process, record = parent(DEAF)
    process.kill()
    process.wait()
    with pytest.raises(HomeInUseError) as refused, lock_home(tmp_path, state=tmp_path / "state", verb="dev", now_ms=0):
        pass
    for name, pid in record["children"].items():
        assert f"{name} ({pid})" in refused.value.message


def test_groups_that_were_ended_are_left_alone() -> None:
    assert left_open(["+10\n", "+11\n", "-10\n"]) == {11}


def test_nothing_is_removed_while_a_sandbox_runs_in_the_home(demo_home: Cli) -> None:
    process = demo_home.start("sandbox", "--port", "0")
    try:
        assert process.stdout is not None
        assert "127.0.0.1:" in process.stdout.readline()
        before = state_of(demo_home.home)
        for verb in (["demo", "--fresh"], ["dev", "--fresh"], ["sandbox", "--port", "0"]):
            refused = demo_home(*verb)
            assert refused.exit_code == 1, refused.output
            check_user_text(refused.stderr, without={f" {process.pid}": " PID"})
        assert state_of(demo_home.home) == before
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


def test_nothing_is_removed_while_other_work_uses_the_state(demo_home: Cli) -> None:
    settings = Settings.for_home(demo_home.home)
    with open_home(settings), open_home(settings):  # both may be open at once
        film = settings.media_dir / "film.mp4"
        assert film.exists()
        refused = demo_home("demo", "--fresh")
        assert refused.exit_code == 1
        check_user_text(refused.stderr)
        assert film.exists()


@pytest.mark.parametrize("verb", [["demo", "--fresh"], ["dev", "--fresh"]])
@pytest.mark.parametrize("wrong", ["port", "catalogue", "seeds", "a seed"])
def test_nothing_is_removed_before_everything_else_was_checked(demo_home: Cli, verb: list[str], wrong: str) -> None:
    film = demo_home.home / "state" / "media" / "film.mp4"
    with socket.socket() as taken:
        if wrong == "port":
            taken.bind(("127.0.0.1", _port_of(demo_home.home)))
        elif wrong == "catalogue":
            (demo_home.home / "catalog.yaml").write_text("videos: [", encoding="utf-8")
        elif wrong == "seeds":
            (demo_home.home / "sandbox.json").write_text("{}", encoding="utf-8")
        else:
            (demo_home.home / "sandbox.json").write_text('[{"video_id": "1", "colour": "red"}]', encoding="utf-8")
        refused = demo_home(*verb)
    assert refused.exit_code == (1 if wrong == "port" else 2), refused.output
    assert film.read_bytes() == b"a film of an earlier demo"
    assert not (demo_home.home / "state" / RECORD).exists()


def test_dev_and_demo_at_once_leave_each_other_alone_and_nothing_lives_on(demo_home: Cli) -> None:
    dev = demo_home.start("dev", "--port", str(free_port()))
    record = demo_home.home / "state" / RECORD
    try:
        children = eventually(lambda: _children(record, 3), within=120)
        film = demo_home.home / "state" / "media" / "film.mp4"
        assert film.exists()  # without --fresh it goes on with what is there
        for verb in ("demo", "dev"):
            refused = demo_home(verb)
            assert refused.exit_code == 1
            check_user_text(refused.stderr, without={f" {dev.pid}": " PID"})
        assert film.exists()
        assert all(is_alive(pid) for pid in children.values())
    finally:
        dev.kill()
        dev.communicate()
    eventually(lambda: _can_be_locked(demo_home.home), within=90)
    eventually(lambda: not any(map(_has_members, children.values())), within=90)


def _port_of(home: Path) -> int:
    line = next(line for line in (home / "accounts.yaml").read_text().splitlines() if "127.0.0.1:" in line)
    return int("".join(char for char in line.rpartition("127.0.0.1:")[2] if char.isdigit())[:5])


def _children(record: Path, count: int) -> dict[str, int] | None:
    holder = read_record(record)
    return holder["children"] if holder is not None and len(holder["children"]) == count else None


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _can_be_locked(home: Path) -> bool:
    try:
        with lock_home(home, state=home / "state", verb="test", now_ms=0):
            return True
    except HomeInUseError:
        return False
