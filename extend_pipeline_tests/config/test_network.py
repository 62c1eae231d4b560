"""The network of an account: certificates, proxies, private addresses, and the `defaults:` of all accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.load import read_configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import CREDIT, NOW, entry, load, only_problem, problems_of, write_home


def accounts(*lines: str, defaults: str = "", provider: str = "kling") -> str:
    """Return two accounts, the first with the lines."""
    credentials = "{access_key_env: AK, secret_key_env: SK}" if provider == "kling" else "{api_key_env: AK}"
    text = f"defaults: {defaults}\naccounts:\n" if defaults else "accounts:\n"
    for name, own in (("kling-main", lines), ("other", ())):
        fields = [f"credentials: {credentials}", "budget: {per_day: 100, total: 2000}", *own]
        if not any(line.startswith("base_url") for line in own):
            fields.append("base_url: https://api.example.com")
        if provider != "kling":
            fields.append(CREDIT)
        text += f"  - name: {name}\n    provider: {provider}\n" + "".join(f"    {line}\n" for line in fields)
    return text


def read(home: Path, *lines: str, defaults: str = "") -> tuple[Account, Account]:
    configuration = load(write_home(home, entry(), accounts=accounts(*lines, defaults=defaults)))
    return configuration.accounts["kling-main"], configuration.accounts["other"]


@pytest.mark.parametrize("written", ["public", "System", "/etc/ssl/company ca.pem"])
def test_a_ca_is_read_as_written(tmp_path: Path, written: str) -> None:
    first, second = read(tmp_path, f"ca: {written}")
    assert first.ca == (written if written.startswith("/") else written.lower())
    assert second.ca is None


@pytest.mark.parametrize("written", ["company.pem", "true", "[system]", "~/ca.pem"])
def test_an_invalid_ca_is_refused_with_its_place(tmp_path: Path, written: str) -> None:
    problem = only_problem(write_home(tmp_path, entry(), accounts=accounts(f"ca: {written}")))
    assert (problem.field, problem.subject) == ("ca", "kling-main")


def test_defaults_hold_for_accounts_without_a_value(tmp_path: Path) -> None:
    first, second = read(tmp_path, "ca: public", defaults="{ca: system}")
    assert (first.ca, second.ca) == ("public", "system")
    first, second = read(tmp_path, "ca: null", defaults="{ca: system}")
    assert (first.ca, second.ca) == ("system", "system")
    assert [account.ca for account in read(tmp_path, defaults="{ca: null}")] == [None, None]


def test_defaults_are_part_of_the_entries_that_they_hold_for(tmp_path: Path) -> None:
    configuration = load(write_home(tmp_path, entry(), accounts=accounts(defaults="{ca: system}")))
    account = configuration.entries["other"]
    assert isinstance(account, dict)
    assert account["ca"] == "system"


@pytest.mark.parametrize("defaults", ["{ca: nowhere}", "{base_url: https://x.example}", "[ca]", "system"])
def test_invalid_defaults_are_reported_once(tmp_path: Path, defaults: str) -> None:
    (problem,) = problems_of(write_home(tmp_path, entry(), accounts=accounts(defaults=defaults)))
    assert str(problem.field).startswith("defaults")
    assert problem.subject is None
    assert problem.line == 1


def test_with_invalid_defaults_no_account_is_loaded(tmp_path: Path) -> None:
    defaults = "{proxy: 'http://proxy:3128', ca: sytem}"
    configuration = read_configuration(
        Settings.for_home(write_home(tmp_path, entry(), accounts=accounts(defaults=defaults))), PROVIDERS, now=NOW
    )
    assert configuration.accounts == {}
    assert configuration.entries == {}


@pytest.mark.parametrize(
    "url",
    ["http://new-api:3000", "http://192.168.1.10:3000", "https://gateway.lan", "http://localhost:3000",
     "http://gateway.example.com:3000", "https://api.example.com", "http://[fd12::1]:3000"],
)  # fmt: skip
def test_a_private_account_may_be_in_one_s_own_network(tmp_path: Path, url: str) -> None:
    first, second = read(tmp_path, "network: private", f"base_url: {url}")
    assert (first.network, first.base_url, second.network) == ("private", url, "public")


@pytest.mark.parametrize(
    ("url", "network"),
    [
        ("http://new-api:3000", "public"),
        ("http://gateway.example.com:3000", "public"),
        ("https://192.168.1.10", "public"),
        ("http://8.8.8.8:3000", "private"),
        ("http://169.254.169.254", "private"),
        ("https://169.254.169.254", "private"),
        ("http://100.100.100.200", "private"),
        ("http://168.63.129.16", "private"),
        ("http://[fe80::1]:3000", "private"),
        ("http://[fd00:ec2::254]", "private"),
        ("http://0.0.0.0:3000", "private"),
        ("ftp://new-api", "private"),
        ("http://ann:secret@new-api:3000", "private"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused(tmp_path: Path, url: str, network: str) -> None:
    written = accounts(f"network: {network}", f'base_url: "{url}"')
    problem = only_problem(write_home(tmp_path, entry(), accounts=written))
    assert problem.field == "base_url"
    assert "secret" not in problem.text()


def test_an_invalid_network_is_the_only_problem_reported(tmp_path: Path) -> None:
    written = accounts("network: lan", "base_url: http://new-api:3000")
    assert only_problem(write_home(tmp_path, entry(), accounts=written)).field == "network"


def gateway(home: Path, provider: str, *lines: str) -> Path:
    return write_home(home, catalogue="videos: []\n", accounts=accounts(*lines, provider=provider))


@pytest.mark.parametrize(("provider", "default"), [("kling-gateway", "/kling"), ("luma", "/luma")])
@pytest.mark.parametrize(
    ("written", "prefix"),
    [(None, None), ('""', ""), ("/", ""), ("/kling-2/", "/kling-2"), ("/api/kling", "/api/kling")],
)
def test_a_path_prefix_is_the_written_one_or_the_provider_s(
    tmp_path: Path, provider: str, default: str, written: str | None, prefix: str | None
) -> None:
    lines = () if written is None else (f"path_prefix: {written}",)
    read_account = load(gateway(tmp_path, provider, *lines)).accounts["kling-main"]
    assert getattr(read_account, "path_prefix", None) == (default if prefix is None else prefix)


@pytest.mark.parametrize(
    "written", ["kling", "/a/../b", "/a//b", "/a?b", "/a b", "https://x.example/kling", "[/kling]"]
)
def test_a_path_prefix_that_is_no_path_is_refused(tmp_path: Path, written: str) -> None:
    assert only_problem(gateway(tmp_path, "luma", f'path_prefix: "{written}"')).field == "path_prefix"


@pytest.mark.parametrize(
    ("lines", "notes"),
    [
        (("base_url: https://gw.example.com/kling",), 1),
        (("base_url: https://gw.example.com/kling", 'path_prefix: ""'), 0),
        (("network: private", "base_url: http://kling"), 0),
    ],
)
def test_a_prefix_that_base_url_has_too_is_a_note(tmp_path: Path, lines: tuple[str, ...], notes: int) -> None:
    configuration = load(gateway(tmp_path, "kling-gateway", *lines))
    assert sum("path_prefix" in note for note in configuration.notes) == notes


def test_the_login_of_a_default_proxy_holds_where_the_same_proxy_is_repeated(tmp_path: Path) -> None:
    defaults = "{proxy: 'http://proxy:3128', proxy_login_env: LOGIN}"
    same, _ = read(tmp_path, "proxy: http://proxy:3128", defaults=defaults)
    another, default = read(tmp_path, "proxy: http://else:3128", defaults=defaults)
    assert [account.proxy_login_env for account in (same, another, default)] == ["LOGIN", None, "LOGIN"]


@pytest.mark.parametrize(
    ("written", "proxy"),
    [
        ("environment", "environment"),
        ("None", "none"),
        ("http://proxy:3128", "http://proxy:3128"),
        ("http://10.1.2.3:8080/", "http://10.1.2.3:8080"),
        ("http://localhost:3128", "http://localhost:3128"),
        ("http://proxy.example.com", "http://proxy.example.com:80"),
        ('"http://[fd12::1]:3128"', "http://[fd12::1]:3128"),
    ],
)
def test_a_proxy_is_a_word_or_an_address(tmp_path: Path, written: str, proxy: str) -> None:
    first, second = read(tmp_path, f"proxy: {written}")
    assert (first.proxy, second.proxy) == (proxy, None)


@pytest.mark.parametrize(
    "written",
    ["socks5://proxy:1080", "https://proxy:443", "proxy:3128", "http://ann:canary@proxy:3128", "http://169.254.169.254",
     "http://proxy:3128/path", "http://proxy:0", "ann:canary@proxy", "http://0x7f.1:3128"],
)  # fmt: skip
def test_an_invalid_proxy_is_refused_without_its_password(tmp_path: Path, written: str) -> None:
    problem = only_problem(write_home(tmp_path, entry(), accounts=accounts(f'proxy: "{written}"')))
    assert problem.field == "proxy"
    assert "canary" not in problem.text()
    (problem,) = problems_of(write_home(tmp_path, entry(), accounts=accounts(defaults=f'{{proxy: "{written}"}}')))
    assert problem.field == "defaults.proxy"
    assert "canary" not in problem.text()


def test_a_log_in_goes_to_the_proxy_that_it_was_written_for(tmp_path: Path) -> None:
    defaults = "{proxy: http://proxy:3128, proxy_login_env: LOGIN}"
    first, second = read(tmp_path, "proxy: http://other:3128", defaults=defaults)
    assert (first.proxy, first.proxy_login_env) == ("http://other:3128", None)
    assert (second.proxy, second.proxy_login_env) == ("http://proxy:3128", "LOGIN")
    first, _ = read(tmp_path, "proxy: none", defaults=defaults)
    assert (first.proxy, first.proxy_login_env) == ("none", None)
    first, _ = read(tmp_path, "proxy: http://other:3128", "proxy_login_env: OWN", defaults=defaults)
    assert first.proxy_login_env == "OWN"


@pytest.mark.parametrize("proxy", [None, "none", "environment"])
def test_a_log_in_without_its_proxy_is_refused(tmp_path: Path, proxy: str | None) -> None:
    lines = ["proxy_login_env: LOGIN", *([] if proxy is None else [f"proxy: {proxy}"])]
    assert only_problem(write_home(tmp_path, entry(), accounts=accounts(*lines))).field == "proxy_login_env"
