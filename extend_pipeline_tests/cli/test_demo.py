"""The demo, as `make demo` runs it: a sandbox, a Dagster daemon, its sensors and runs, and a report that adds up."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.commands.demo.home import find
from extend_pipeline.commands.demo.home_lock import RECORD, read_record
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.demo import DEMO, FILES, write_demo
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.user_texts import check_user_text, line_with


def files_and_attempts(home: Path) -> tuple[dict[Path, str], list[tuple[Any, ...]]]:
    """Return the SHA-256 of each video file, and every attempt that was paid for."""
    films = {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((home / "state" / "media").rglob("*"))
        if path.is_file()
    }
    with closing(sqlite3.connect(home / "state" / "ledger.sqlite")) as ledger:
        return films, ledger.execute("SELECT attempt_id, state, task_id, sha256 FROM attempts ORDER BY 1").fetchall()


@pytest.mark.timeout(560)
def test_the_demo_ends_by_itself_and_its_charges_agree_with_the_bills(tmp_path: Path) -> None:
    home = write_demo(tmp_path / "demo")
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(home), "demo", "--max-seconds", "200"]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: len((read_record(home / "state" / RECORD) or {}).get("children", {})) == 2, within=60)
        dev = subprocess.run([*command[:5], "dev"], capture_output=True, text=True, check=False, timeout=60)
        assert dev.returncode == 1
        assert f"kill {done.pid}" in dev.stderr
        output, errors = done.communicate(timeout=280)
    finally:
        done.kill()
    assert done.returncode == 0, output[-3000:] + errors[-2000:]
    check_user_text(line_with(output, "lineage: ").partition(", ")[2])
    for provider in ("kling", "kling-gateway", "luma", "vidu"):
        line = next(line for line in output.splitlines() if line.startswith(f"charges of {provider}: "))
        in_ledger, billed = (part.split()[0] for part in line.partition(": ")[2].split(", "))
        assert in_ledger == billed
        assert float(in_ledger) > 0
    too_late = line_with(output, "needs you: old-lighthouse: ")
    assert "2026-02-14" in too_late
    check_user_text(too_late)
    status = subprocess.run([*command[:5], "status"], capture_output=True, text=True, check=False, timeout=60)
    assert status.returncode == 1  # old-lighthouse needs the operator
    first = files_and_attempts(home)
    assert len(first[0]) > 10
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env={**os.environ})
    assert again.returncode == 0, again.stdout[-3000:] + again.stderr[-2000:]
    assert files_and_attempts(home) == first
    shutil.rmtree(home / "state")


def test_a_state_that_no_demo_made_is_left_alone(tmp_path: Path) -> None:
    write_demo(tmp_path)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "notes.txt").write_text("precious")
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(tmp_path), "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    check_user_text(done.stderr)
    assert (tmp_path / "state" / "notes.txt").read_text() == "precious"


@pytest.mark.parametrize("given", [True, False])
def test_a_new_folder_gets_the_files_of_the_demo(given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "data" / "demo"
    assert find(home if given else None).settings.home == home
    assert {path.name for path in home.iterdir()} == {*FILES, ".gitignore"}
    for name in FILES:
        assert (home / name).read_text(encoding="utf-8") == (DEMO / name).read_text(encoding="utf-8")
    (home / "catalog.yaml").write_text("videos: []", encoding="utf-8")
    find(home)
    assert (home / "catalog.yaml").read_text(encoding="utf-8") == "videos: []"


def test_a_state_whose_files_were_removed_gets_them_again(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / ".demo").touch()
    find(tmp_path)
    assert (tmp_path / "catalog.yaml").exists()


@pytest.mark.parametrize("there", ["accounts.yaml", "catalog.csv", "photo.jpg", "state"])
@pytest.mark.parametrize("verb", ["demo", "dev"])
def test_no_file_is_written_where_something_else_lies(verb: str, there: str, tmp_path: Path) -> None:
    (tmp_path / there).mkdir() if there == "state" else (tmp_path / there).touch()
    done = Cli(tmp_path)(verb)
    assert done.exit_code == 1
    check_user_text(done.stderr)
    assert [path.name for path in tmp_path.iterdir()] == [there]


def test_a_home_that_cannot_be_written_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = Cli(tmp_path / "file" / "home")("demo")
    assert done.exit_code == 2
    check_user_text(done.stderr)


def test_the_ledger_and_the_films_of_the_shell_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", str(tmp_path / "real"))
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", "postgresql://real.example.com/ledger")
    monkeypatch.setenv("Extend_Pipeline_Media_URL", f"file://{tmp_path}/real/media")
    settings = find(tmp_path / "demo").settings
    assert settings.ledger_url == f"sqlite:///{tmp_path}/demo/state/ledger.sqlite"
    assert settings.media_dir == tmp_path / "demo" / "state" / "media"
    assert not [name for name in os.environ if name.upper().endswith(("PIPELINE_LEDGER_URL", "PIPELINE_MEDIA_URL"))]
    check_user_text(capsys.readouterr().out)
