"""The program as pip installs it, without a checkout: first files, a plan, Dagster's definitions, `demo` and `dev`."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from extend_pipeline.commands.demo.home_lock import RECORD, is_alive, read_record
from extend_pipeline.commands.demo.processes import is_up
from extend_pipeline_tests.support.home.demo import DEMO, FILES
from extend_pipeline_tests.support.home.engine_home import eventually
from extend_pipeline_tests.support.processes.wheel import ROOT, build_wheel, install, without_checkout
from extend_pipeline_tests.support.servers.ports import free_port
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

PORT = 8791  # of the demo's sandbox
SPENT = "SELECT entry, count(*) AS entries, sum(units) AS units FROM charges GROUP BY ALL ORDER BY ALL"


class Installed:
    """The programs of an environment that has the wheel, run in an empty folder."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder

    def start(self, *args: str, program: str = "extend-pipeline", **env: str) -> subprocess.Popen[str]:
        """Start a program in the folder."""
        return subprocess.Popen(
            [str(self.programs / program), *args],
            cwd=self.folder,
            env={**without_checkout(), "PYTHONUNBUFFERED": "1", **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, codes: tuple[int, ...] = (0,), program: str = "extend-pipeline", **env: str) -> str:
        """Run a program to its end and return what it printed."""
        process = self.start(*args, program=program, **env)
        try:
            output, errors = process.communicate(timeout=280)
        finally:
            process.kill()
        assert process.returncode in codes, output[-3000:] + errors[-3000:]
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    def interrupt(self, process: subprocess.Popen[str]) -> int:
        """End a verb as Ctrl-C does, and return its exit code when its children have ended."""
        holder = read_record(self.folder / "data" / "demo" / "state" / RECORD)
        assert holder is not None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert not any(is_alive(child) for child in holder["children"].values())
        return process.returncode

    def package(self) -> dict[str, str]:
        """Return the digest of each file in site-packages, without what Python compiles."""
        files = (path for path in self.programs.parent.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    return install(build_wheel(folder), folder / "environment")


@pytest.fixture
def run(programs: Path, tmp_path: Path) -> Iterator[Installed]:
    run = Installed(programs, tmp_path)
    before = run.package()
    yield run
    assert run.package() == before, "nothing is written into the installed package"


def test_the_first_commands_in_an_empty_folder(run: Installed) -> None:
    where = run("-c", "import extend_pipeline; print(extend_pipeline.__file__)", program="python").stdout.strip()
    assert Path(where).is_relative_to(run.programs.parent)
    written = json.loads(run("init", "--json").stdout)["written"]
    assert written == ["catalog.yaml", "accounts.yaml", "dagster.yaml", ".gitignore"]
    dagster = (run.folder / "data" / "dagster.yaml").read_bytes()
    assert dagster == (ROOT / "deploy" / "dagster.yaml").read_bytes()
    # 1 once the example's source, which has a date, has expired
    plan = json.loads(run("plan", "--json", codes=(0, 1)).stdout)
    assert {video["video"] for video in plan["videos"]} >= {"harbour-dawn", "harbour-night"}


def test_dagster_loads_the_definitions(run: Installed) -> None:
    (run.folder / "dagster_home").mkdir()
    home = str(run.folder / "dagster_home")
    command = ("-m", "dagster", "definitions", "validate", "-m", "extend_pipeline.definitions")
    run(*command, program="python", DAGSTER_HOME=home)


@pytest.mark.timeout(900)
def test_demo_and_dev_in_an_empty_folder(run: Installed) -> None:
    home, port = run.folder / "data" / "demo", free_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # another demo of this machine has it
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        refused = run("demo", codes=(1,))
    check_user_text(line_with(refused.stdout, "wrote "))
    check_user_text(
        line_with(refused.stderr, "not free"), without={"a sandbox": "PROGRAM", "another program": "PROGRAM"}
    )
    for name in FILES:
        assert (home / name).read_bytes() == (DEMO / name).read_bytes()
    for name in ("accounts.yaml", "catalog.yaml"):  # as the message says
        text = (home / name).read_text(encoding="utf-8")
        (home / name).write_text(text.replace(str(PORT), str(port)), encoding="utf-8")

    first = run.start("demo", "--max-seconds", "200")
    record = home / "state" / RECORD
    eventually(lambda: len((read_record(record) or {}).get("children", {})) == 2, within=90)
    assert run.interrupt(first) == 130

    output = run("demo", "--max-seconds", "250").stdout
    assert "lineage: 21 hops" in output
    check_user_text(line_with(output, "To see this in Dagster's UI"))
    ledger = home / "state" / "ledger.sqlite"
    before = ledger.stat().st_ino
    spent = run("--home", "data/demo", "sql", "--csv", SPENT).stdout

    ui = free_port()
    dev = run.start("dev", "--port", str(ui))
    assert dev.stdout is not None
    assert f"http://127.0.0.1:{ui}" in dev.stdout.readline()
    assert is_up(f"http://127.0.0.1:{ui}/server_info")
    assert run.interrupt(dev) == 0
    check_user_text(line_with(run("demo", "--max-seconds", "250").stdout, "--fresh"))
    assert run("--home", "data/demo", "sql", "--csv", SPENT).stdout == spent

    anew = run.start("demo", "--fresh", "--max-seconds", "200")
    eventually(lambda: ledger.exists() and ledger.stat().st_ino != before, within=90)
    eventually(lambda: len((read_record(record) or {}).get("children", {})) == 2, within=90)
    assert run.interrupt(anew) == 130
