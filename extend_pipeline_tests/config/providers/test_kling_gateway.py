"""Kling through a reseller: the account's own fields, and what it passes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.providers.kling_gateway.models import GatewayAccount, GatewaySource
from extend_pipeline.providers.registry import spec_of
from extend_pipeline_tests.config.written import (
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


def home(
    folder: Path, *lines: str, written: str | None = None, extend: str = "{to: 30}", price: str | None = CREDIT
) -> Path:
    """Write a home with one video on one gateway account."""
    fields = lines if price is None else (price, *lines)
    video = entry(source=written or source(), extend=extend, account="kling-gateway")
    return write_home(folder, video, accounts=account_of("kling-gateway", *fields))


def test_an_account_passes_nothing_and_has_class_c_by_default(tmp_path: Path) -> None:
    read = load(home(tmp_path))
    account = read.accounts["kling-gateway"]
    assert isinstance(account, GatewayAccount)
    assert (account.passes, account.submit_class, account.price.quote("std")) == ((), "C", 4_000_000)
    assert (account.poll.first_after_s, account.poll.every_s) == (60, 15)
    video = read.catalogue.videos["one"]
    assert isinstance(video.source, GatewaySource)
    assert (video.provider, video.source.source_id, video.source.duration_ms) == (
        "kling-gateway",
        "827942411241803822",
        5100,
    )
    assert (video.source.mode, video.source.created_at, video.source.task_id) == ("std", None, None)


def test_a_price_by_mode_that_lacks_the_mode_is_refused(tmp_path: Path) -> None:
    by_mode = CREDIT.replace("4", "{pro: 7}")
    problem = only_problem(home(tmp_path, price=by_mode))
    assert problem.field == "price.per_extension"
    check_user_text(problem.text())


def test_a_gateway_without_a_price_is_refused_because_there_is_no_default(tmp_path: Path) -> None:
    problem = only_problem(home(tmp_path, price=None))
    assert (problem.file, problem.field) == ("accounts.yaml", "price")
    check_user_text(problem.text())
    check_user_text(problem.text())


def test_no_budget_no_spending_holds_for_gateways_too(tmp_path: Path) -> None:
    path = home(tmp_path)
    accounts = path / "accounts.yaml"
    accounts.write_text("\n".join(line for line in accounts.read_text().split("\n") if "budget" not in line))
    check_user_text(only_problem(path).text())


@pytest.mark.parametrize(
    ("field", "value"), [("negative_prompt", "text"), ("cfg_scale", "0.5"), ("watermark", "false")]
)
def test_a_field_that_the_gateway_does_not_pass_is_refused(tmp_path: Path, field: str, value: str) -> None:
    extend = f"{{to: 30, {field}: {value}}}"
    problem = only_problem(home(tmp_path / "off", extend=extend))
    assert (problem.subject, problem.field, problem.line) == ("one", f"extend.{field}", 4)
    check_user_text(problem.text())
    passing = load(home(tmp_path / "on", f"passes: [{field}]", extend=extend)).catalogue.videos["one"]
    assert list(passing.extend.hop_params(1)) == [field]


def test_a_branch_may_use_only_the_fields_that_its_account_passes(tmp_path: Path) -> None:
    leaf = entry("leaf", source="{branch_of: one, hop: 1}", extend="{to: 40, cfg_scale: 1}", account=None)
    path = home(tmp_path)
    with (path / "catalog.yaml").open("a") as file:
        file.write(leaf)
    problem = only_problem(path)
    assert (problem.subject, problem.field) == ("leaf", "extend.cfg_scale")


def test_the_task_id_is_needed_only_where_the_account_passes_it(tmp_path: Path) -> None:
    passes = "passes: [task_id]"
    problem = only_problem(home(tmp_path / "missing", passes))
    assert (problem.field, problem.line) == ("source.task_id", 3)
    check_user_text(problem.text())
    for number, lines in enumerate([(passes,), ()]):
        read = load(home(tmp_path / str(number), *lines, written=source(task_id="0815"))).catalogue.videos["one"].source
        assert isinstance(read, GatewaySource)
        assert read.task_id == "0815"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("passes: [seed]", "passes.1"),
        ("passes: task_id", "passes"),
        ("submit_class: A", "passes"),
        ("auth: raw", "auth"),
        ("batch_query: true", "batch_query"),
    ],
)
def test_an_invalid_account_is_refused(tmp_path: Path, line: str, field: str) -> None:
    problem = only_problem(home(tmp_path, line))
    assert (problem.file, problem.subject, problem.field) == ("accounts.yaml", "kling-gateway", field)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


def test_class_a_is_accepted_of_a_gateway_that_passes_our_id(tmp_path: Path) -> None:
    account = load(home(tmp_path, "submit_class: A", "passes: [external_task_id]")).accounts["kling-gateway"]
    assert account.submit_class == "A"


def test_two_keys_are_refused_where_one_is_sent(tmp_path: Path) -> None:
    path = home(tmp_path)
    accounts = path / "accounts.yaml"
    text = accounts.read_text().replace("{api_key_env: THE_KEY}", "{access_key_env: A, secret_key_env: B}")
    accounts.write_text(text)
    fields = {problem.field for problem in problems_of(path)}
    assert fields == {"credentials.api_key_env", "credentials.access_key_env", "credentials.secret_key_env"}


@pytest.mark.parametrize(
    ("written", "extend", "field"),
    [
        (source(duration=None), "{to: 30}", "source.duration"),
        (source(), "{to: 181}", "extend.to"),
        (source(), "{steps: 36}", "extend.steps"),
        (source(model="v1.0"), "{to: 30, negative_prompt: text}", "extend.negative_prompt"),
    ],
)
def test_klings_own_rules_hold_behind_a_gateway(tmp_path: Path, written: str, extend: str, field: str) -> None:
    path = home(tmp_path, "passes: [negative_prompt]", written=written, extend=extend)
    assert only_problem(path).field == field


def test_the_registry_has_klings_limits(tmp_path: Path) -> None:
    ours, klings = spec_of("kling-gateway"), spec_of("kling")
    assert (ours.longest_ms, ours.source_life_ms, ours.result_life_ms) == (180_000, 2_592_000_000, 2_592_000_000)
    assert (ours.added_ms(None), ours.source_range_ms) == ((4_000, 5_000), None)
    assert ours.modes == klings.modes == ("std", "pro")
