"""Delivery to real programs: what counts as delivered, and within which bounds."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from extend_pipeline.alerts.delivery import Delivered, Undelivered
from extend_pipeline.alerts.receivers import CommandReceiver
from extend_pipeline_tests.alerts.test_webhook_receiver import MESSAGE, NOW_MS, SECRET, SECRET_ENV
from extend_pipeline_tests.support.user_texts import check_user_text


def program(tmp_path: Path, source: str) -> tuple[str, ...]:
    script = tmp_path / "program.py"
    script.write_text(source, encoding="utf-8")
    return (sys.executable, str(script), str(tmp_path))


def test_a_command_reads_the_message_and_gets_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", "k" * 32)
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", "postgresql://anna:password@db/ledger")
    monkeypatch.setenv(SECRET_ENV, SECRET)
    monkeypatch.setenv("ALERT_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("ALERT_COMMAND_PAGER", "9")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    arguments = program(
        tmp_path,
        "import json, os, pathlib, sys\n"
        "got = {'message': json.load(sys.stdin), 'environment': dict(os.environ), 'arguments': sys.argv[2:]}\n"
        "pathlib.Path(sys.argv[1], 'got.json').write_text(json.dumps(got))\n"
        "print('paged', 'anna')\n",
    )
    command = CommandReceiver((*arguments, "$HOME; `id`"))
    delivery = command.deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Delivered)
    check_user_text(delivery.note, without={sys.executable: "PYTHON"})
    got = json.loads((tmp_path / "got.json").read_text())
    environment = got.pop("environment")
    assert got == {"message": MESSAGE, "arguments": ["$HOME; `id`"]}
    secret = {"THE_KEY", SECRET_ENV, "EXTEND_PIPELINE_LEDGER_URL", "ALERT_WEBHOOK_SECRET"}
    assert not secret & environment.keys()
    assert {environment[name] for name in ("ALERT_COMMAND_PAGER", "https_proxy", "LC_ALL")} == {
        "9",
        "http://proxy:3128",
        "C.UTF-8",
    }
    assert environment["PATH"] == os.environ["PATH"]


def test_a_command_that_fails_is_said_with_the_beginning_of_its_output(tmp_path: Path) -> None:
    arguments = program(tmp_path, "import sys\nprint('x' * 10_000_000)\nprint('no', file=sys.stderr)\nsys.exit(3)\n")
    delivery = CommandReceiver(arguments).deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Undelivered)
    check_user_text(delivery.reason, without={sys.executable: "PYTHON"})


@pytest.mark.parametrize(
    "argument", ["tk_Zq81xT0pic", "--topic=tk_Zq81xT0pic", "curl -d @- https://ntfy.sh/tk_Zq81xT0pic"]
)
@pytest.mark.parametrize("status", [0, 3])
def test_no_argument_that_a_command_repeats_is_shown(tmp_path: Path, argument: str, status: int) -> None:
    source = f"import sys\nprint('sent to', sys.argv[2], 'topic tk_Zq81xT0pic')\nsys.exit({status})\n"
    delivery = CommandReceiver((*program(tmp_path, source), argument)).deliver(MESSAGE, now_ms=NOW_MS)
    text = delivery.note if isinstance(delivery, Delivered) else delivery.reason
    assert f"ended with {status}: sent to" in text
    assert "Zq81x" not in text


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    arguments = program(
        tmp_path,
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[1], 'child.part').write_text(str(child.pid))\n"
        "os.rename(f'{sys.argv[1]}/child.part', f'{sys.argv[1]}/child')\n"
        "print('begun', flush=True)\n"
        "time.sleep(600)\n",
    )
    begun = time.monotonic()
    delivery = CommandReceiver(arguments, deadline_s=3.0).deliver(MESSAGE, now_ms=NOW_MS)
    assert time.monotonic() - begun < 10
    assert isinstance(delivery, Undelivered)
    check_user_text(delivery.reason, without={sys.executable: "PYTHON"})
    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root, and setpriv of util-linux"
)
def test_a_command_that_hangs_as_another_user_holds_nothing_up() -> None:
    source = (
        "from extend_pipeline.alerts.receivers import CommandReceiver\n"
        "arguments = ('setpriv', '--reuid', '65534', '--clear-groups', 'sh', '-c', 'echo $$; exec sleep 600')\n"
        "print(CommandReceiver(arguments, deadline_s=1.0).deliver({'id': 'alert_1'}, now_ms=0).reason)\n"
    )
    # without this capability root is refused as other users are
    without = ("setpriv", "--inh-caps=-kill", "--bounding-set=-kill")
    done = subprocess.run(
        [*without, sys.executable, "-W", "ignore", "-c", source], capture_output=True, text=True, timeout=60, check=True
    )
    said, _, pid = done.stdout.strip().rpartition(": ")
    try:
        assert _lives(int(pid))
    finally:
        os.kill(int(pid), signal.SIGKILL)
    check_user_text(said)


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_command_whose_child_lives_on_is_done_when_it_ends(tmp_path: Path) -> None:
    arguments = program(
        tmp_path,
        "import pathlib, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[1], 'child').write_text(str(child.pid))\n",
    )
    begun = time.monotonic()
    try:
        assert isinstance(CommandReceiver(arguments).deliver(MESSAGE, now_ms=NOW_MS), Delivered)
        assert time.monotonic() - begun < 8
    finally:
        os.kill(int((tmp_path / "child").read_text()), 9)


def test_a_command_that_reads_nothing_or_is_not_there(tmp_path: Path) -> None:
    assert isinstance(CommandReceiver(program(tmp_path, "")).deliver(MESSAGE, now_ms=NOW_MS), Delivered)
    delivery = CommandReceiver((str(tmp_path / "missing"),)).deliver(MESSAGE, now_ms=NOW_MS)
    assert isinstance(delivery, Undelivered)
    assert delivery.is_setting
    check_user_text(delivery.reason)
