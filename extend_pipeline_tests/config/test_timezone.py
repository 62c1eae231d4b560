"""`timezone` in accounts.yaml: an IANA name of a place, or a mistake with a hint; the last good one holds while the
file can't be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.home_timezone import home_timezone
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.last_good import last_good_path, write_last_good
from extend_pipeline.config.load import load_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import ACCOUNTS, NOW, entry
from extend_pipeline_tests.support.user_texts import check_user_text


def home_with(home: Path, line: str, *, catalogue_line: str = "") -> Settings:
    (home / "accounts.yaml").write_text(f"{line}\n{ACCOUNTS}")
    (home / "catalog.yaml").write_text(f"{catalogue_line}\nvideos:\n{entry()}")
    return Settings(home=home)


@pytest.mark.parametrize(
    ("line", "zone"),
    [
        ("timezone: Asia/Shanghai", "Asia/Shanghai"),
        ("timezone: America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("timezone: UTC", "UTC"),
        ("timezone: utc", "UTC"),
        ("timezone: Etc/UTC", "UTC"),
        ("timezone: null", "UTC"),
        ("timezone:", "UTC"),
        ("", "UTC"),
    ],
)
def test_a_home_has_the_zone_that_it_names_and_utc_without(tmp_path: Path, line: str, zone: str) -> None:
    settings = home_with(tmp_path, line)
    assert load_configuration(settings, PROVIDERS, now=NOW).timezone == zone
    assert home_timezone(settings) == zone


@pytest.mark.parametrize(
    "written",
    [
        "Asia/Shangai",
        "asia/shanghai",
        "Shanghai",
        "new york",
        "CST",  # Chicago's, Beijing's or Havana's
        "EST",
        "GMT+8",
        "Etc/GMT+8",  # 8 hours west, which is the other way round from how it is meant
        "+08:00",
        "8",
        "local",
        "../../etc/passwd",
        "Asia",
        "[Asia/Shanghai]",
        "A" * 5000,
    ],
)
def test_a_zone_that_names_no_place_is_refused_with_a_hint(tmp_path: Path, written: str) -> None:
    settings = home_with(tmp_path, f"timezone: {written}")
    with pytest.raises(ConfigError) as caught:
        load_configuration(settings, PROVIDERS, now=NOW)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.field) == ("accounts.yaml", 1, "timezone")
    check_user_text(problem.text())
    assert home_timezone(settings) == "UTC"


def test_the_last_good_zone_holds_while_the_file_has_no_readable_one(tmp_path: Path) -> None:
    settings = home_with(tmp_path, "timezone: Asia/Shangai")
    write_last_good(settings.state_dir, {}, timezone="Asia/Tokyo")
    assert home_timezone(settings) == "Asia/Tokyo"
    (tmp_path / "accounts.yaml").unlink()
    assert home_timezone(settings) == "Asia/Tokyo"
    (tmp_path / "accounts.yaml").write_text(ACCOUNTS)
    assert home_timezone(settings) == "UTC", "a file that names none means none"
    last_good_path(settings.state_dir).write_text("timezone: [")
    (tmp_path / "accounts.yaml").unlink()
    assert home_timezone(settings) == "UTC"


def test_the_catalogue_has_no_zone(tmp_path: Path) -> None:
    settings = home_with(tmp_path, "", catalogue_line="timezone: Asia/Shanghai")
    with pytest.raises(ConfigError) as caught:
        load_configuration(settings, PROVIDERS, now=NOW)
    assert [problem.field for problem in caught.value.problems] == ["timezone"]
