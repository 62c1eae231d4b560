"""Settings from the environment, and their checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.settings import Settings
from extend_pipeline_tests.support.user_texts import check_user_text


def test_everything_lies_under_the_home_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    read = Settings()
    assert read.home == tmp_path / "data"
    assert read.state_dir == tmp_path / "data/state"
    assert read.media_dir == tmp_path / "data/state/media"
    assert read.warehouse_path == tmp_path / "data/state/warehouse.duckdb"
    assert read.ledger_url == f"sqlite:///{tmp_path}/data/state/ledger.sqlite"
    assert (read.lease_s, read.post_deadline_s, read.get_deadline_s, read.linger_s) == (90, 60, 30, 120)
    assert (read.download_silence_s, read.max_downloads, read.max_submits, read.max_polls) == (60, 4, 8, 8)
    assert read.max_file_bytes == 2 * 1024**3


def test_the_environment_is_read_and_an_explicit_home_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("EXTEND_PIPELINE_LEASE_S", "300.5")
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", "postgresql://db/ledger")
    monkeypatch.setenv("EXTEND_PIPELINE_MEDIA_URL", "file://{home}/films")
    monkeypatch.setenv("EXTEND_PIPELINE_MAX_POLLS", "")
    monkeypatch.setenv("extend_pipeline_max_submits", "3")
    assert Settings().home == tmp_path / "other"
    read = Settings.for_home(tmp_path / "a home")
    assert (read.home, read.lease_s) == (tmp_path / "a home", 300.5)
    assert (read.max_polls, read.max_submits) == (8, 3)
    assert read.ledger_url == "postgresql://db/ledger"
    assert read.media_dir == tmp_path / "a home/films"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_S", "65"),
        ("LEASE_S", "soon"),
        ("POST_DEADLINE_S", "0"),
        ("POST_DEADLINE_S", "inf"),
        ("LINGER_S", "-1"),
        ("MAX_SUBMITS", "1001"),
        ("MAX_SUBMITS", "0"),
        ("MEDIA_URL", "s3://bucket/films"),
        ("MEDIA_URL", "/mnt/films"),
        ("MEDIA_URL", "file://server/films"),
        ("LEDGER_URL", "ledger.sqlite"),
        ("HOME", "/tmp/what?"),
    ],
)
def test_an_invalid_setting_is_refused_by_its_variables_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"EXTEND_PIPELINE_{name}", value)
    with pytest.raises(ConfigError) as caught:
        Settings()
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("environment", None)
    check_user_text(problem.text())


@pytest.mark.parametrize("home", ["", "caf\udce9"])
def test_a_home_whose_path_is_no_utf_8_is_refused_with_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str
) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    monkeypatch.chdir(folder if not home else tmp_path)
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", home)
    with pytest.raises(ConfigError) as caught:
        Settings()
    (problem,) = caught.value.problems
    path = str(tmp_path) + r"/caf\udce9" + ("" if home else "/data")
    assert problem.field == "EXTEND_PIPELINE_HOME"
    assert path in problem.text()
    check_user_text(problem.text(), without={path: "PATH"})
    (tmp_path / "new").mkdir()
    assert Settings.for_home(tmp_path / "new").home == tmp_path / "new"


def test_all_invalid_settings_are_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_MAX_POLLS", "0")
    monkeypatch.setenv("EXTEND_PIPELINE_LINGER_S", "x")
    with pytest.raises(ConfigError) as caught:
        Settings()
    assert len(str(caught.value).splitlines()) == 2


def test_the_ledgers_password_is_neither_shown_nor_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", "postgresql://me:hush@db/ledger")
    assert "hush" not in repr(Settings.for_home(tmp_path))
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", "me:hush@db")
    with pytest.raises(ConfigError) as caught:
        Settings.for_home(tmp_path)
    assert "hush" not in f"{caught.value} {caught.value.problems!r}"


def test_a_lease_is_half_a_minute_longer_than_a_submit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_POST_DEADLINE_S", "400")
    assert Settings().lease_s == 430


def test_a_misspelt_variable_is_refused_instead_of_starting_an_empty_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URI", "postgresql://db/ledger")
    with pytest.raises(ConfigError) as caught:
        Settings()
    check_user_text(str(caught.value))


def test_variables_of_other_modules_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTEND_PIPELINE_FAILPOINTS", "submit.after_post=kill")
    assert Settings().lease_s == 90


def test_commands_name_a_home_that_is_not_the_default_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "extend-pipeline resume; extend-pipeline --home x plan; extend-pipeline (0.2.0)"
    assert Settings.for_home("data").with_home(text) == text
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", "data")
    assert Settings().with_home(text) == text
    monkeypatch.setenv("EXTEND_PIPELINE_HOME", "my films")
    named = text.replace("extend-pipeline resume", f"extend-pipeline --home '{tmp_path}/my films' resume")
    assert Settings().with_home(text) == named
