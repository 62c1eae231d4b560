"""Doctor on what causes failures later: disks of other machines, files of another user, names that differ by case,
another version of the program, and accounts that respond slowly."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select, update

from extend_pipeline.base.version import program_version
from extend_pipeline.commands.doctor import machine_checks
from extend_pipeline.commands.doctor.diagnostics import Level
from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline_tests.cli.conftest import CONFIG, Cli
from extend_pipeline_tests.support.home.homes import account, credentials_env, video, write_home
from extend_pipeline_tests.support.processes.another_user import as_another_user
from extend_pipeline_tests.support.user_texts import check_user_text

ACCOUNTS = 6

Home = Callable[..., Cli]


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("ext4", Level.OK),
        ("apfs", Level.OK),
        ("overlay", Level.OK),
        ("fuseblk", Level.OK),
        ("nfs4", Level.WARNING),
        ("cifs", Level.WARNING),
        ("9p", Level.WARNING),
        ("fuse.sshfs", Level.WARNING),
        ("fuse.rclone", Level.WARNING),
        ("", Level.OK),
    ],
)
def test_a_ledger_on_another_machines_disk_is_a_warning(tmp_path: Path, kind: str, level: Level) -> None:
    home = Settings.for_home(tmp_path / "home")
    mounts = [("/", "ext4"), (str(tmp_path), kind), (str(tmp_path / "other"), "nfs4")]
    assert machine_checks.check_place(home, mounts if kind else []).level is level


def test_a_ledger_on_a_server_may_have_its_home_anywhere(tmp_path: Path) -> None:
    server = Settings.for_home(tmp_path).model_copy(update={"ledger_url": "postgresql://db.example/ledger"})
    assert machine_checks.check_place(server, [(str(tmp_path), "nfs4")]).level is Level.OK


def test_of_two_file_systems_the_nearer_and_the_later_one_counts() -> None:
    mounts = [("/", "ext4"), ("/srv", "nfs4"), ("/srv/fast", "xfs"), ("/srv/films", "ext4"), ("/srv/films", "cifs")]
    kinds = {place: machine_checks.kind_of(Path(place), mounts) for place in ("/srv/a", "/srv/fast/b", "/srv/films/c")}
    assert kinds == {"/srv/a": "nfs4", "/srv/fast/b": "xfs", "/srv/films/c": "cifs"}


def test_this_machine_lists_its_own_file_systems(tmp_path: Path) -> None:
    assert machine_checks.kind_of(Path("/proc/self"), machine_checks.mounted()) in ("proc", "")
    assert machine_checks.check_place(Settings.for_home(tmp_path), machine_checks.mounted()).level is Level.OK


@pytest.mark.parametrize(
    ("folder", "level"),
    [
        ("Dropbox", Level.WARNING),
        ("OneDrive - Harbour Studio", Level.WARNING),
        ("Google Drive", Level.WARNING),
        ("GoogleDrive-ann@studio.example", Level.WARNING),
        ("nextcloud-tools", Level.OK),
        ("dropboxes", Level.OK),
    ],
)
def test_a_ledger_in_a_synchronised_folder_is_a_warning(tmp_path: Path, folder: str, level: Level) -> None:
    assert machine_checks.check_place(Settings.for_home(tmp_path / folder / "home"), []).level is level


def _rights(home: Path) -> list[tuple[str, str]]:
    return [(finding.level.value, finding.message) for finding in machine_checks.check_rights(Settings.for_home(home))]


def test_files_that_this_user_may_not_write_are_a_problem() -> None:
    with tempfile.TemporaryDirectory() as place:
        home = Path(place) / "home"
        films = home / "state" / "media" / "ab"
        films.mkdir(parents=True)
        for folder in (Path(place), home, home / "state", home / "state" / "media"):
            folder.chmod(0o755)
        ledger = home / "state" / "ledger.sqlite"
        ledger.touch()
        ledger.chmod(0o444)
        (home / "state" / "media" / "lost+found").mkdir(mode=0o555)  # not one of the pipeline's folders
        films.chmod(0o555)
        [(level, message)] = as_another_user(_rights, home)
        films.chmod(0o755)
    assert level == "problem"
    assert "lost+found" not in message
    # where root runs the tests, root owns the state folder too
    unwritable = [] if os.geteuid() == 0 else [str(home / "state")]
    assert [str(path) for path in (ledger, films, *unwritable) if str(path) in message] == [
        str(ledger),
        str(films),
        *unwritable,
    ]


def test_a_file_where_a_folder_must_be_is_a_problem(home_of: Home) -> None:
    run = home_of(video("blocked"))
    (run.home / "state").touch()
    problems = [row for row in run.json("doctor", "--offline", code=1)["findings"] if row["level"] == "problem"]
    assert {problem["check"] for problem in problems} >= {"ledger", "media"}


def test_an_address_that_can_not_be_read_is_a_problem(home_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    run = home_of(video("lost"))
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", "postgresql://[::1")
    problems = [row for row in run.json("doctor", "--offline", code=1)["findings"] if row["level"] == "problem"]
    assert {problem["check"] for problem in problems} == {"ledger"}


def test_names_that_differ_by_case_alone_are_warnings(home_of: Home) -> None:
    run = home_of(video("Robot"), video("robot"), video("harbour"))
    (run.home / "Accounts.yaml").write_text("accounts: []\n", encoding="utf-8")
    findings = [finding for finding in run.json("doctor", "--offline")["findings"] if finding["check"] == "names"]
    assert [finding["level"] for finding in findings] == ["warning", "warning"]
    assert str(run.home / "Accounts.yaml") in findings[0]["message"]
    check_user_text(findings[1]["message"])


def test_the_version_that_wrote_the_ledger_is_known_and_another_one_is_a_warning(home_of: Home) -> None:
    run = home_of(video("written"))
    run("pause")
    ledger = open_ledger(Settings.for_home(run.home).ledger_url)
    try:
        with ledger.read() as connection:
            assert connection.execute(select(tables.ledger_head.c.program)).scalar_one() == program_version()
        with ledger.alone() as (connection, _):
            connection.execute(update(tables.ledger_head).values(program="99.1"))
    finally:
        ledger.close()
    warnings = [row["message"] for row in run.json("doctor", "--offline")["findings"] if row["level"] == "warning"]
    assert [message for message in warnings if "99.1" in message and program_version() in message]


class _Barrier(BaseHTTPRequestHandler):
    """Respond to a request when ACCOUNTS requests have arrived."""

    gate = threading.Barrier(ACCOUNTS)

    def do_GET(self) -> None:
        self.gate.wait(30)
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Barrier)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_accounts_are_asked_side_by_side(tmp_path: Path, slow_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in credentials_env(CONFIG):
        monkeypatch.delenv(name, raising=False)
    names = [f"slow-{number}" for number in range(ACCOUNTS)]
    accounts = [account(slow_url, name=name) for name in names]
    home = write_home(tmp_path / "home", slow_url, [video("one", account=names[0])], accounts=accounts)
    findings = Cli(home).json("doctor", code=1)["findings"]
    for name in names:
        check_user_text("\n".join(finding["message"] for finding in findings if finding["check"] == f"account {name}"))
