"""Files are 0600 and folders 0700, everywhere below the state folder, for any umask."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from extend_pipeline.commands.demo.home import find, prepared
from extend_pipeline.commands.demo.processes import running
from extend_pipeline.commands.init import write_examples
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.submit.record_outcome import SubmitResult
from extend_pipeline.engine.submit.spool import spool_acceptances
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.providers.protocol import Accepted, Answer, TaskState
from extend_pipeline_tests.support.home.demo import write_demo
from extend_pipeline_tests.support.home.engine_home import EngineHome
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.processes.bounded import run_bounded
from extend_pipeline_tests.support.processes.wheel import ROOT


def modes(folder: Path) -> dict[str, str]:
    """Return each wrong mode of a folder and of everything below it, by path."""
    wrong = {}
    for path in [folder, *folder.rglob("*")]:
        try:
            mode = path.lstat().st_mode & 0o7777
        except FileNotFoundError:
            continue  # a journal that was there a moment ago
        if mode != (0o700 if path.is_dir() else 0o600):
            wrong[str(path.relative_to(folder.parent))] = f"{mode:04o}"
    return wrong


@pytest.mark.parametrize("umask", [0, 0o077, 0o022])
def test_after_an_advance_nothing_of_the_state_is_open_to_others(umask: int, home: EngineHome) -> None:
    home.seeded(3, steps=2)
    home.sandbox.faults([{"kind": "broken_file", "where": "download", "times": 2}])

    done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "60", umask=umask)

    assert done.returncode in (0, 1), done.stderr
    state = home.path / "state"
    assert modes(state) == {}
    names = {path.name for path in state.rglob("*")}
    assert {"ledger.sqlite", "warehouse.duckdb", "warehouse.work.duckdb", "media", ".incoming"} <= names
    assert {path.suffix for path in (state / "media").rglob("*.*")} >= {".mp4", ".jpg"}
    assert list((state / "media" / "quarantine").glob("*.bin")), "a broken file is kept, and closed too"


def test_during_an_advance_nothing_of_the_state_is_open_to_others(home: EngineHome) -> None:
    """The journal of a transaction, a download and the copy that is being published live for moments only."""
    home.seeded(6, steps=2)
    suffixes: set[str] = set()
    wrong: dict[str, str] = {}
    over = threading.Event()

    def watch() -> None:
        state = home.path / "state"
        while not over.is_set():
            wrong.update(modes(state) if state.exists() else {})
            suffixes.update(path.name.partition(".")[2] or path.name for path in state.rglob("*"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "60", umask=0)
    finally:
        over.set()
        watcher.join()
    assert done.returncode == 0, done.stderr
    assert wrong == {}
    assert "sqlite-journal" in suffixes
    assert any(name.endswith("part") for name in suffixes)


def test_a_film_that_is_assembled_is_closed_to_others(home: EngineHome) -> None:
    other_home(home, "luma")
    done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "60", umask=0)
    assert done.returncode == 0, done.stderr
    assert len(list(home.settings.media_dir.rglob("*.mp4"))) >= 3, "the source, the segment and the film"
    assert modes(home.path / "state") == {}


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Run the test with umask 0."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("no_umask")
def test_folders_above_the_media_are_closed_when_media_comes_first(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "home" / "state" / "media")
    store.put_poster("ab" * 32, b"\xff\xd8\xff")
    assert modes(tmp_path / "home") == {}


@pytest.mark.usefixtures("no_umask")
def test_the_ledger_and_the_folders_above_it_are_closed_when_it_comes_first(
    tmp_path: Path,
) -> None:
    open_ledger(f"sqlite:///{tmp_path}/deep/state/ledger.sqlite").close()
    assert modes(tmp_path / "deep") == {}


@pytest.mark.usefixtures("no_umask")
def test_spooled_acceptances_and_the_folders_above_them_are_closed_when_they_come_first(tmp_path: Path) -> None:
    pipeline: Any = SimpleNamespace(settings=Settings(home=tmp_path / "home"))
    request: Any = SimpleNamespace(attempt_id="a", video_key="v", hop=1, account="k")
    spool_acceptances(pipeline, [SubmitResult(request, Accepted("t", TaskState.SUBMITTED, Answer("")))])
    assert len(list((tmp_path / "home").rglob("*.json"))) == 1
    assert modes(tmp_path / "home") == {}


@pytest.mark.usefixtures("no_umask")
def test_a_home_that_init_makes_is_closed(tmp_path: Path) -> None:
    assert len(write_examples(tmp_path / "deep" / "home")[0]) == 4
    assert modes(tmp_path / "deep") == {}


@pytest.mark.usefixtures("no_umask")
def test_files_of_the_demo_and_its_children_are_closed(tmp_path: Path) -> None:
    demo = find(write_demo(tmp_path / "home"))
    with prepared(demo, verb="demo", fresh=True) as lock:
        touched = demo.state / "made"
        log = demo.logs / "touch.log"
        with running("a child", ["touch", str(touched)], log=log, environment={}, lock=lock) as child:
            child.process.wait(10)
    assert touched.exists()
    assert modes(tmp_path / "home") == {}
    assert (demo.state / "workspace.yaml").read_text() == (ROOT / "workspace.yaml").read_text()


@pytest.mark.parametrize("verb", [["publish"], ["status"], ["plan"], ["doctor"]])
def test_every_commands_files_are_closed(verb: list[str], home: EngineHome) -> None:
    home.seeded(1)
    done = run_bounded(home, *verb, umask=0)
    assert done.returncode in (0, 1), done.stderr
    assert modes(home.path / "state") == {} if (home.path / "state").exists() else True


def test_the_test_sees_an_open_file(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    (tmp_path / "state" / "ledger.sqlite").touch(mode=0o644)
    assert set(modes(tmp_path / "state").values()) == {"0755", "0644"}
