"""Every rule of accounts.yaml, and that no secret is ever repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.load import load_accounts
from extend_pipeline.config.model.account import Account, InDoubt, Poll
from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.config.model.price import Price
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.kling.models import KlingAccount, KlingKeys
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import (
    ACCOUNTS,
    CREDIT,
    account_of,
    entry,
    load,
    only_problem,
    problems_of,
    source,
    without_jargon,
    write_home,
)
from extend_pipeline_tests.support.user_texts import check_user_text


def accounts_with(**changes: str | None) -> str:
    """Return one account, a field a line from line 2, with some fields changed, added, or left out where None."""
    fields: dict[str, str | None] = {
        "name": "kling-main",
        "provider": "kling",
        "base_url": "https://api-singapore.klingai.com",
        "credentials": "{access_key_env: KLING_ACCESS_KEY, secret_key_env: KLING_SECRET_KEY}",
        "budget": "{per_day: 100, total: 2000}",
    }
    written = {name: value for name, value in (fields | changes).items() if value is not None}
    return "accounts:\n  -\n" + "".join(f"    {name}: {value}\n" for name, value in written.items())


def account(home: Path, **changes: str | None) -> Account:
    return load(write_home(home, entry(), accounts=accounts_with(**changes))).accounts["kling-main"]


def test_an_account_has_klings_defaults(tmp_path: Path) -> None:
    read = account(tmp_path)
    assert isinstance(read, KlingAccount)
    assert [read.price.quote(mode) for mode in ("std", "pro", "ultra", None)] == [2_000_000, 3_500_000, None, None]
    assert (read.price.unit, read.price.unit_price_micros, read.price.currency) == ("kling-unit", 140_000, "USD")
    assert (read.submit_class, read.failed_tasks_charged, read.max_in_flight) == ("A", "unknown", 20)
    assert read.poll == Poll(first_after_s=60, every_s=15)
    assert read.in_doubt == InDoubt(settle_s=600, absences=3)
    assert (read.download_hosts, read.download_http) == (None, False)
    assert not read.allow_local
    assert read.patience_s == 3600
    assert hash(read) == hash(read.model_copy())


def test_every_field_is_read_as_it_is_written(tmp_path: Path) -> None:
    read = account(
        tmp_path,
        base_url="https://API.example.com/kling/",
        credentials="{api_key_env: THE_KEY}",
        budget="{per_day: 0.5, total: 2000.000001}",
        price="{unit: credit, per_extension: 1.25, unit_price: 0, currency: CNY}",
        max_in_flight="3",
        submit_class="b",
        download_hosts='["CDN.example.com", "*.example.com"]',
        download_http="true",
        poll="{first_after: 1.5, every: 2}",
        in_doubt="{settle: 60}",
        failed_tasks_charged="no",
        patience="7200",
    )
    assert read.base_url == "https://API.example.com/kling"
    assert read.credentials == ApiKey(api_key_env="THE_KEY")
    assert read.budget is not None
    assert (read.budget.per_day_micros, read.budget.total_micros) == (500_000, 2_000_000_001)
    assert read.price.quote(None) == read.price.quote("std") == 1_250_000
    assert (read.max_in_flight, read.submit_class, read.failed_tasks_charged) == (3, "B", "no")
    assert (read.download_hosts, read.download_http) == (("cdn.example.com", "*.example.com"), True)
    assert account(tmp_path, download_hosts="null").download_hosts is None
    assert read.poll == Poll(first_after_s=1.5, every_s=2)
    assert (read.in_doubt.settle_s, read.in_doubt.absences, read.patience_s) == (60, 3, 7200)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"provider": None}, "provider"),
        ({"provider": "klng"}, "provider"),
        ({"provider": "sora"}, "provider"),
        ({"passes": "[task_id]"}, "passes"),
        ({"base_url": None}, "base_url"),
        ({"base_url": "api.klingai.com"}, "base_url"),
        ({"base_url": "ftp://api.klingai.com"}, "base_url"),
        ({"base_url": "http://api.klingai.com"}, "base_url"),
        ({"base_url": "https://127.0.0.1:8080"}, "base_url"),
        ({"base_url": "https://10.0.0.8"}, "base_url"),
        ({"base_url": "'https://[::1]:80'"}, "base_url"),
        ({"base_url": "https://localhost"}, "base_url"),
        ({"base_url": "https://169.254.169.254"}, "base_url"),
        ({"base_url": "https://127.1"}, "base_url"),
        ({"base_url": "https://0x7f.0.0.1"}, "base_url"),
        ({"base_url": "https://api.klingai.com?x=1"}, "base_url"),
        ({"base_url": "https://me:hush@api.klingai.com"}, "base_url"),
        ({"base_url": "https://api.klingai.com:99999"}, "base_url"),
        ({"base_url": "'https://'"}, "base_url"),
        ({"base_url": "http://api.klingai.com", "allow_local": "true"}, "base_url"),
        ({"base_url": "http://10.0.0.8:8787", "allow_local": "true"}, "base_url"),
        ({"base_url": "https://0.0.0.0:8787", "allow_local": "true"}, "base_url"),
        ({"base_url": "http://[::ffff:127.0.0.1]", "allow_local": "true"}, "base_url"),
        ({"credentials": None}, "credentials"),
        ({"credentials": "KLING"}, "credentials"),
        ({"credentials": "{access_key_env: A}"}, "credentials.secret_key_env"),
        ({"credentials": "{api_key_env: A, access_key_env: B}"}, "credentials"),
        ({"max_in_flight": "0"}, "max_in_flight"),
        ({"budget": "{per_day: -1, total: 5}"}, "budget.per_day"),
        ({"budget": "{per_day: 1}"}, "budget.total"),
        ({"budget": "{per_day: 1, total: 0.0000001}"}, "budget.total"),
        ({"price": "{unit: u, per_extension: 1, unit_price: 1, currency: usd}"}, "price.currency"),
        ({"price": "{unit: u, per_extension: 0, unit_price: 1, currency: USD}"}, "price.per_extension"),
        (
            {"price": "{unit: u, per_extension: {std: x}, unit_price: 1, currency: USD}"},
            "price.per_extension.std",
        ),
        ({"price": "{unit: u, per_extension: 1, currency: USD}"}, "price.unit_price"),
        (
            {"price": "{unit: u, per_extension: {std: 1, ultra: 2}, unit_price: 1, currency: USD}"},
            "price.per_extension.ultra",
        ),
        (
            {"price": "{unit: u, per_extension: {pro: 2}, unit_price: 1, currency: USD}"},
            "price.per_extension",
        ),
        ({"submit_class": "E"}, "submit_class"),
        ({"download_hosts": '["*"]'}, "download_hosts.1"),
        ({"download_hosts": '["a.com", "*.com"]'}, "download_hosts.2"),
        ({"download_hosts": '["https://cdn.klingai.com"]'}, "download_hosts.1"),
        ({"download_hosts": '["127.0.0.1"]'}, "download_hosts.1"),
        ({"download_hosts": "[]"}, "download_hosts"),
        ({"download_hosts": "cdn.klingai.com"}, "download_hosts"),
        ({"poll": "{first_after: 60, every: 0}"}, "poll.every"),
        ({"in_doubt": "{absences: 0}"}, "in_doubt.absences"),
        ({"failed_tasks_charged": "maybe"}, "failed_tasks_charged"),
        ({"patience": "soon"}, "patience"),
        ({"max_inflight": "5"}, "max_inflight"),
        ({"budget": None}, "budget"),
    ],
)
def test_an_invalid_account_is_refused(tmp_path: Path, changes: dict[str, str | None], field: str) -> None:
    written = accounts_with(**changes)
    home = write_home(tmp_path, entry(account=f'"{changes.get("name", "kling-main")}"'), accounts=written)
    [problem] = [issue for issue in problems_of(home) if issue.file == "accounts.yaml"]
    assert problem.field == field
    check_user_text(problem.text())
    lines = written.splitlines()
    top = field.partition(".")[0]
    assert problem.line == next((n for n, line in enumerate(lines, 1) if line.startswith(f"    {top}:")), 3)
    assert without_jargon(problem.text())


def test_beside_a_misspelt_provider_every_other_mistake_is_reported(tmp_path: Path) -> None:
    wrong = accounts_with(
        provider="Kling",
        base_url="ftp://api.example.com",
        credentials="{access_key_env: $KLING_ACCESS_KEY, secret_key_env: KLING_SECRET_KEY}",
        budget="{perday: 100, total: 2000}",
    )
    problems = problems_of(write_home(tmp_path, entry(), accounts=wrong))
    assert {(problem.line, problem.field) for problem in problems} >= {
        (4, "provider"),
        (5, "base_url"),
        (6, "credentials.access_key_env"),
        (7, "budget.perday"),
        (7, "budget.per_day"),
    }
    [variable] = [problem for problem in problems if problem.field == "credentials.access_key_env"]
    check_user_text(variable.text())


def test_a_missing_key_is_shown_by_the_example_of_its_provider(tmp_path: Path) -> None:
    accounts = account_of("luma", CREDIT).replace("api_key_env: THE_KEY", "")
    [problem] = [
        p
        for p in problems_of(write_home(tmp_path, entry(account="luma"), accounts=accounts))
        if p.file == "accounts.yaml"
    ]
    check_user_text(problem.text())


def test_an_unsupported_provider_error_names_the_supported_ones(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, entry(), accounts=accounts_with(provider="sora")))
    check_user_text(problem.text())


def test_a_field_of_another_provider_is_refused_with_its_owner(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, entry(), accounts=accounts_with(batch_query="true")))
    assert problem.field == "batch_query"
    check_user_text(problem.text())
    check_user_text(problem.text())


@pytest.mark.parametrize(
    "secret",
    ["AJ7dk3kQp9sXw2", "sk-live-77aa", "A1B2C3D4E5F6G7H8I9J0K1L2", "key with spaces", "lower_case_name"],
)
@pytest.mark.parametrize("where", ["access_key_env", "api_key_env"])
def test_a_secret_in_place_of_a_variables_name_is_refused_and_not_repeated(
    tmp_path: Path, secret: str, where: str
) -> None:
    second_key = ", secret_key_env: B" if where == "access_key_env" else ""
    written = accounts_with(credentials=f'{{{where}: "{secret}"{second_key}}}')
    problem = only_problem(write_home(tmp_path, entry(), accounts=written))
    check_user_text(problem.text())
    assert problem.given is None
    assert secret not in problem.text()


@pytest.mark.parametrize(
    "changes",
    [
        {"base_url": "https://me:hush-hush@api.klingai.com"},
        {"base_url": "https://api.klingai.com/?key=hush-hush"},
        {"credentials": "{access_key: hush-hush, secret_key: hush-hush}"},
        {"credentials": "hush-hush"},
        {"api_key": "hush-hush"},
        {"download_hosts": "[hush-hush@cdn.klingai.com]"},
    ],
)
def test_a_secret_in_a_wrong_place_is_not_repeated(tmp_path: Path, changes: dict[str, str | None]) -> None:
    problems = problems_of(write_home(tmp_path, entry(), accounts=accounts_with(**changes)))
    assert not any("hush" in f"{problem.text()}{problem!r}" for problem in problems)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8123", "http://localhost:1", "http://sandbox:8080", "http://[::1]:8123"]
)
def test_allow_local_lets_an_account_be_the_sandbox(tmp_path: Path, url: str) -> None:
    read = account(tmp_path, base_url=url, allow_local="true", download_hosts="[127.0.0.1, localhost]")
    assert (read.base_url, read.download_hosts) == (url, ("127.0.0.1", "localhost"))


def test_two_accounts_of_one_name_are_a_problem(tmp_path: Path) -> None:
    twice = ACCOUNTS + ACCOUNTS.replace("accounts:\n", "")
    problem = only_problem(write_home(tmp_path, entry(), accounts=twice))
    assert (problem.line, problem.field) == (7, "name")
    check_user_text(problem.text())


def test_an_account_that_no_video_uses_needs_no_budget(tmp_path: Path) -> None:
    idle = ACCOUNTS + accounts_with(name="idle", budget=None).replace("accounts:\n", "")
    read = load(write_home(tmp_path, entry(), accounts=idle))
    assert read.accounts["idle"].budget is None


def test_a_missing_budget_is_reported_once_even_where_its_videos_are_wrong(tmp_path: Path) -> None:
    home = write_home(
        tmp_path, *(entry(f"v{n}", extend="{to: 999}") for n in range(3)), accounts=accounts_with(budget=None)
    )
    [missing] = [problem for problem in problems_of(home) if problem.field == "budget"]
    check_user_text(missing.text())


def test_accounts_can_be_loaded_alone(tmp_path: Path) -> None:
    settings = Settings.for_home(write_home(tmp_path, entry()))
    assert list(load_accounts(settings, PROVIDERS)) == ["kling-main"]


def test_code_constructs_in_micro_units_and_seconds() -> None:
    price = Price(unit="u", per_extension_micros={"std": 5}, unit_price_micros=7, currency="EUR")
    made = KlingAccount(
        name="a",
        base_url="http://127.0.0.1:9",
        credentials=KlingKeys(access_key_env="A", secret_key_env="B"),
        price=price,
        poll=Poll(first_after_s=0, every_s=0.05),
        download_hosts=("127.0.0.1",),
        allow_local=True,
    )
    assert (made.provider, made.price.quote("std"), made.poll.every_s) == ("kling", 5, 0.05)


def test_an_unknown_account_suggests_the_nearest_and_the_entry_is_still_checked(tmp_path: Path) -> None:
    problems = problems_of(write_home(tmp_path, entry(account="kling-mian", source=source(mode="x"))))
    assert [problem.field for problem in problems] == ["source.mode", "account"]
    for problem in problems:
        check_user_text(problem.text())


def test_a_video_without_an_account_is_a_problem(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, entry(account=None)))
    assert (problem.field, problem.message, problem.line) == ("account", "is missing", 2)
