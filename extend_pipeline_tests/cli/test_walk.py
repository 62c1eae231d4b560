"""Every verb ends with a code of the table and a sentence: no input causes a traceback."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.cli.walk import BINARY, Inputs, spoiling, verbs, walk
from extend_pipeline_tests.support.home.homes import video

Home = Callable[..., Cli]


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


@pytest.fixture
def inputs(home_of: Home, taken_port: int, tmp_path: Path) -> Inputs:
    """A home that has done some work, the words that its verbs know, and files of all kinds."""
    run = home_of(video("v", extend={"steps": 1, "prompt": "x"}), video("w"))
    assert run("advance", "--max-seconds", "0").exit_code == 0
    assert run("publish").exit_code == 0
    files = tmp_path / "files"
    (files / "folder").mkdir(parents=True)
    contents = {
        "empty": b"",
        "binary": BINARY,
        "huge": b"task_id,units\n" + b"1,2\n" * 20_000,
        "invoice.csv": b"task_id;units\n1;2,5\n\xff;3\n",
        "seeds.json": b'[{"video_id": 5}, {}]',
        "list.json": json.dumps([{"video_id": "s", "duration": -1}]).encode(),
    }
    for name, content in contents.items():
        (files / name).write_bytes(content)
    listed = [files / name for name in (*contents, "folder", "missing")]
    return Inputs(run.home, taken_port, ("v", "w", "v/1", "w/2", "sandbox", "billing/1", "adopt"), listed)


def test_no_input_of_any_verb_causes_a_traceback(
    inputs: Inputs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)  # where a relative path of a call leads to
    walk_all(inputs, seed=1, count=3)


@pytest.mark.timeout(900)
def test_a_long_walk_causes_no_traceback(inputs: Inputs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    walk_all(inputs, seed=2, count=30)


def walk_all(inputs: Inputs, *, seed: int, count: int) -> None:
    """Make `count` calls of each verb and assert that each ends with a code of the table and without a traceback."""
    done = walk(inputs, seed=seed, count=count, put=lambda call: spoiling(inputs.home, call.spoilt))
    print(f"{done.calls} calls, by verb and code: {dict(sorted(done.codes.items()))}")
    assert not done.wrong, f"{len(done.wrong)} of {done.calls}:\n" + "\n\n".join(done.wrong)
    assert done.calls == count * len(list(verbs()))
