"""The section `alerts:` of accounts.yaml: what it may say, and that no address and no argument is ever repeated."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from extend_pipeline.config.last_good import last_good_path, write_last_good
from extend_pipeline.config.load import read_configuration
from extend_pipeline.config.model.alerts import Alerts
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import ACCOUNTS, NOW, entry, load, problems_of, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

HOOK = "https://alerts.example.com/hook/?token=abc"


def written(home: Path, *lines: str, above: str = "", accounts: str = ACCOUNTS) -> Path:
    """Write a home whose accounts.yaml begins with `above`, then `alerts:` with the lines."""
    section = "".join(f"  {line}\n" for line in lines)
    write_home(home, entry(), accounts=f"{above}alerts:\n{section}{accounts}")
    return home


def alerts(home: Path, *lines: str, above: str = "") -> Alerts:
    read = load(written(home, *lines, above=above)).alerts
    assert read is not None
    return read


def test_there_are_no_alerts_by_default(tmp_path: Path) -> None:
    assert load(write_home(tmp_path, entry())).alerts is None


def test_a_webhook_alone_reports_all_of_it_once_a_day(tmp_path: Path) -> None:
    read = alerts(tmp_path, f"webhook: {HOOK}")
    assert read == Alerts(webhook=HOOK)
    assert (read.warnings, read.failed_runs, read.again_after_hours, read.command) == (True, True, 24, None)


def test_every_field_is_read_and_can_be_written_back(tmp_path: Path) -> None:
    read = alerts(
        tmp_path,
        "webhook_env: ALERT_URL",
        "secret_env: ALERT_SECRET",
        "command: [/usr/local/bin/page, --team, 7]",
        "warnings: no",
        "failed_runs: false",
        "again_after_hours: 0.5",
        "dagster_url: https://dagster.example.com/",
        "network: private",
    )
    assert read.command == ("/usr/local/bin/page", "--team", "7")
    assert (read.webhook_env, read.secret_env) == ("ALERT_URL", "ALERT_SECRET")
    assert (read.warnings, read.failed_runs, read.again_after_hours) == (False, False, Decimal("0.5"))
    assert (read.dagster_url, read.network) == ("https://dagster.example.com", "private")
    state = tmp_path / "state"
    write_last_good(state, {}, timezone="UTC", alerts=read.as_written)
    (tmp_path / "accounts.yaml").write_text("accounts: 1\n", encoding="utf-8")
    again = read_configuration(Settings(home=tmp_path), PROVIDERS, now=NOW)
    assert again.problems
    assert again.alerts == read


def test_the_defaults_of_the_file_hold_for_alerts_too(tmp_path: Path) -> None:
    above = "defaults: {proxy: 'http://proxy:3128', proxy_login_env: LOGIN, ca: system}\n"
    read = alerts(tmp_path, f"webhook: {HOOK}", above=above)
    assert (read.proxy, read.proxy_login_env, read.ca) == ("http://proxy:3128", "LOGIN", "system")
    own = alerts(tmp_path, f"webhook: {HOOK}", "proxy: none", above=above)
    assert (own.proxy, own.proxy_login_env, own.ca) == ("none", None, "system")


@pytest.mark.parametrize(
    "line",
    [
        "webhook: http://10.0.0.7:8080/hook",
        "webhook: http://relay:8080/hook",
        "webhook: https://relay.internal/hook",
    ],
)
def test_a_receiver_of_ones_own_network_is_allowed_where_it_says_so(tmp_path: Path, line: str) -> None:
    assert alerts(tmp_path, line, "network: private").webhook == line.partition(" ")[2]
    assert [issue.field for issue in problems_of(written(tmp_path, line))] == ["alerts.webhook"]


@pytest.mark.parametrize(
    "lines",
    [
        ["warnings: true"],
        ["secret_env: ALERT_SECRET", "command: [page]"],
        [f"webhook: {HOOK}", "webhook_env: ALERT_URL"],
        ["webhook: http://alerts.example.com/SECRET"],
        ["webhook: https://user:SECRET@alerts.example.com/"],
        ["webhook: http://127.0.0.1:9000/SECRET"],
        ["webhook: https://alerts.example.com/SECRET#top"],
        ["webhook: [SECRET]"],
        [f"webhook: {HOOK}", "secret_env: whsec_SECRET"],
        ["webhook_env: https://alerts.example.com/SECRET"],
        ["command: page --token SECRET"],
        ["command: []"],
        ["command: [{page: SECRET}]"],
        ['command: [""]'],
        [f"webhook: {HOOK}", "again_after_hours: 0"],
        [f"webhook: {HOOK}", "warnings: perhaps"],
        [f"webhook: {HOOK}", "dagster_url: dagster.example.com"],
        [f"webhook: {HOOK}", "secret: whsec_SECRET"],
        [f"webhook: {HOOK}", "proxy_login_env: LOGIN"],
    ],
)
def test_each_mistake_is_named_with_line_and_field_and_no_secret(tmp_path: Path, lines: list[str]) -> None:
    (issue,) = problems_of(written(tmp_path, *lines))
    assert (issue.file, issue.field is not None and issue.field.split(".")[0]) == ("accounts.yaml", "alerts")
    assert "SECRET" not in issue.text()
    check_user_text(issue.text())


def test_all_mistakes_are_reported_at_once_and_only_valid_accounts_are_used(tmp_path: Path) -> None:
    home = written(tmp_path, "webhook: x", "colour: red", "warnings: 2", accounts=f"{ACCOUNTS}    colour: red\n")
    issues = problems_of(home)
    assert [(issue.line, issue.field) for issue in issues if issue.file == "accounts.yaml"] == [
        (2, "alerts.webhook"),
        (3, "alerts.colour"),
        (4, "alerts.warnings"),
        (11, "colour"),
    ]


@pytest.mark.parametrize("text", ["alerts: 7\n", "alerts: [page]\n"])
def test_a_section_that_is_no_set_of_fields(tmp_path: Path, text: str) -> None:
    (issue,) = problems_of(write_home(tmp_path, entry(), accounts=f"{text}{ACCOUNTS}"))
    assert (issue.line, issue.field) == (1, "alerts")
    check_user_text(issue.text())


def test_while_the_section_or_the_file_has_a_mistake_the_last_good_section_is_used(tmp_path: Path) -> None:
    home = written(tmp_path, f"webhook: {HOOK}")
    settings = Settings(home=home)
    write_last_good(settings.state_dir, {}, timezone="UTC", alerts={"command": ["page"]})
    assert last_good_path(settings.state_dir).exists()

    def read() -> Alerts | None:
        return read_configuration(settings, PROVIDERS, now=NOW).alerts

    assert read() == Alerts(webhook=HOOK)
    for broken in (f"alerts: {{webhook: x}}\n{ACCOUNTS}", "accounts: [\n"):
        (home / "accounts.yaml").write_text(broken, encoding="utf-8")
        assert read() == Alerts(command=("page",))
    (home / "accounts.yaml").write_text(f"alerts: {{webhook: '{HOOK}'}}\n{ACCOUNTS}    colour: red\n", encoding="utf-8")
    assert read() == Alerts(webhook=HOOK)
    (home / "accounts.yaml").write_text(ACCOUNTS, encoding="utf-8")
    assert read() is None
