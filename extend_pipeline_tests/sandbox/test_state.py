"""The state that remains when a sandbox ends, also by SIGKILL; and the separation of two sandboxes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extend_pipeline.sandbox import SandboxConfig, SandboxError, SandboxHandle, running_sandbox, serve
from extend_pipeline_tests.sandbox.conftest import Kling
from extend_pipeline_tests.support.user_texts import check_user_text


@contextmanager
def process(*arguments: str) -> Iterator[tuple[Kling, subprocess.Popen[str]]]:
    """Start a sandbox in a process of its own; yield a client of it and the process."""
    command = [sys.executable, "-m", "extend_pipeline.sandbox", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            assert line.startswith("sandbox ready"), line
            kling = Kling(SandboxHandle(line.split()[-1]))
            yield kling, child
            kling.http.close()
        finally:
            if child.poll() is None:
                child.kill()
            child.wait(10)


def test_a_killed_sandbox_restarts_with_everything_it_has_returned(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.json"
    seeds.write_text(json.dumps([{"video_id": "from-file", "duration": 5.1}]))
    arguments = ["--state", str(tmp_path / "state"), "--seed-file", str(seeds), "--run-time", "0", "0"]
    with process(*arguments) as (kling, child):
        data = kling.extend("from-file", external_task_id="before")
        film = kling.http.get(data["task_result"]["videos"][0]["url"]).content
        kling.handle.faults([{"kind": "reset_after", "skip": 1}, {"kind": "code_1302", "times": 2, "where": "list"}])
        kling.extend("from-file", external_task_id="second")
        os.kill(child.pid, signal.SIGKILL)
    with process(*arguments) as (kling, _):
        again = kling.query("before")
        assert again["task_id"] == data["task_id"]
        assert again["created_at"] == data["created_at"]
        url = again["task_result"]["videos"][0]["url"]
        assert url.startswith(kling.handle.base_url)
        assert kling.http.get(url).content == film
        assert kling.handle.charges()["by_external_task_id"] == {"before": 1, "second": 1}
        assert [fault["remaining"] for fault in kling.handle.faults()] == [1, 2]
        assert kling.code(kling.submit("from-file", external_task_id="before")) == (400, 1201)


def test_a_task_runs_on_while_the_sandbox_is_down(start: Callable[..., Kling], tmp_path: Path) -> None:
    config = SandboxConfig(run_time=(1000, 1000))
    with running_sandbox(tmp_path / "s", config) as handle:
        kling = Kling(handle)
        kling.submit(kling.source(), external_task_id="long")
        assert kling.query("long")["task_status"] == "submitted"
        kling.http.close()
    kling = start("s", run_time=(1000, 1000), now_offset=1001.0)
    assert kling.query("long")["task_status"] == "succeed"


def test_a_port_in_use_is_reported(start: Callable[..., Kling], tmp_path: Path) -> None:
    port = int(start().handle.base_url.rpartition(":")[2])
    with pytest.raises(SandboxError) as caught:
        serve(state_dir=tmp_path / "other", port=port)
    check_user_text(str(caught.value), without={str(port): "PORT"})
    command = [sys.executable, "-m", "extend_pipeline.sandbox", "--state", str(tmp_path), "--port", str(port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    check_user_text(done.stderr, without={str(port): "PORT"})


def test_one_state_directory_serves_one_sandbox(start: Callable[..., Kling], tmp_path: Path) -> None:
    kling = start("one")
    with pytest.raises(SandboxError, match="another sandbox"), running_sandbox(tmp_path / "one"):
        pass
    assert kling.submit(kling.source()).status_code == 200


def test_a_wrong_seed_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "seeds.json").write_text("{}")
    command = [sys.executable, "-m", "extend_pipeline.sandbox", "--state", str(tmp_path / "s"), "--seed-file"]
    done = subprocess.run(
        [*command, str(tmp_path / "seeds.json")], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    check_user_text(done.stderr)


def test_an_interrupted_process_ends_quietly(tmp_path: Path) -> None:
    with process("--state", str(tmp_path)) as (kling, child):
        kling.handle.seed([{"video_id": "x", "duration": 5}])
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_a_stopped_sandbox_leaves_its_port_free(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as handle:
        port = int(handle.base_url.rpartition(":")[2])
        handle.stop()
        handle.stop()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
    with running_sandbox(tmp_path, port=port) as handle:
        assert handle.base_url.endswith(f":{port}")
