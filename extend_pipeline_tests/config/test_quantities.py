"""Budgets, prices and lengths as users write them: read with a stated meaning, or refused with an example."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline_tests.config.written import (
    ACCOUNTS,
    CREDIT,
    account_of,
    entry,
    load,
    only_problem,
    source,
    without_jargon,
    write_home,
)
from extend_pipeline_tests.support.user_texts import check_user_text

BUDGET = "{per_day: 100, total: 2000}"
MALFORMED = (
    "'5,1'",
    "5s",
    "'5 units'",
    "$5",
    "50%",
    "'1,000'",
    "'1 000'",
    "1_000",
    "1e3",
    "NaN",
    ".inf",
    "-.inf",
    "99999999999999999999",
    "-1",
    "0:30",
    "unlimited",
    "true",
    "5.",
)
FIELDS = (
    "source.duration",
    "extend.to",
    "extend.steps",
    "extend.tolerance",
    "extend.at_most",
    "extend.cfg_scale",
    "budget.per_day",
    "budget.total",
    "budget.in_doubt",
    "price.per_extension",
    "price.per_extension.std",
    "price.unit_price",
    "max_in_flight",
    "tolerance",
    "patience",
    "poll.first_after",
    "poll.every",
    "in_doubt.settle",
    "in_doubt.absences",
    "account extend.tolerance",
    "account extend.at_most",
)


def with_budget(budget: str) -> str:
    """Return the accounts with another budget."""
    return ACCOUNTS.replace(BUDGET, budget)


def home_with(folder: Path, field: str, value: str) -> Path:
    """Write a home in which one field has this value."""
    top, _, name = field.removeprefix("account ").partition(".")
    if field == "source.duration":
        return write_home(folder, entry(source=source(duration=value)))
    if top == "extend" and not field.startswith("account "):
        fields = f"{name}: {value}" if name in ("to", "steps") else f"to: 30, {name}: {value}"
        return write_home(folder, entry(extend=f"{{{fields}}}"))
    if top == "budget":
        fields = {"per_day": "100", "total": "2000"} | {name: value}
        return write_home(folder, entry(), accounts=with_budget(_flow(fields)))
    if top == "price":
        fields = {"unit": "u", "per_extension": "{std: 2}", "unit_price": "1", "currency": "USD"}
        fields |= {"per_extension": f"{{std: {value}}}"} if name.endswith("std") else {name: value}
        return write_home(folder, entry(), accounts=f"{ACCOUNTS}    price: {_flow(fields)}\n")
    poll = {"first_after": "60", "every": "15"} if top == "poll" else {}
    written = _flow(poll | {name: value}) if name else value
    return write_home(folder, entry(), accounts=f"{ACCOUNTS}    {top}: {written}\n")


def _flow(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items()) + "}"


@pytest.mark.parametrize("value", MALFORMED)
@pytest.mark.parametrize("field", FIELDS)
def test_a_malformed_number_is_refused_with_its_line_its_field_and_an_example(
    field: str, value: str, tmp_path: Path
) -> None:
    problem = only_problem(home_with(tmp_path, field, value))
    assert problem.field == field.removeprefix("account ")
    assert problem.line is not None
    assert problem.given == value.strip("'")
    assert problem.hint
    assert without_jargon(problem.text())


@pytest.mark.parametrize("budget", ["0", "0.0", "{per_day: 0, total: 0}", "{per_day: 0, total: 5}"])
def test_a_budget_of_0_is_accepted_with_a_note(budget: str, tmp_path: Path) -> None:
    read = load(write_home(tmp_path, entry(), accounts=with_budget(budget)))
    budget_read = read.accounts["kling-main"].budget
    assert budget_read is not None
    assert budget_read.per_day_micros == 0
    assert sum("kling-main" in note for note in read.notes) == 1


def test_a_bare_budget_other_than_0_is_refused_with_an_example(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, entry(), accounts=with_budget("100")))
    assert (problem.file, problem.line, problem.field, problem.given) == ("accounts.yaml", 6, "budget", "100")
    check_user_text(problem.text())


@pytest.mark.parametrize("price", ["0", "0.00", "{std: 0}", "1000000001"])
def test_a_step_has_a_price_above_0_and_below_what_any_step_costs(price: str, tmp_path: Path) -> None:
    written = f"    price: {{unit: u, per_extension: {price}, unit_price: 1, currency: USD}}\n"
    problem = only_problem(write_home(tmp_path, entry(), accounts=ACCOUNTS + written))
    assert problem.field is not None
    assert problem.field.startswith("price.per_extension")
    assert problem.line == 7


def test_units_without_a_price_are_accepted_with_a_note(tmp_path: Path) -> None:
    written = "    price: {unit: u, per_extension: 2, unit_price: 0, currency: USD}\n"
    read = load(write_home(tmp_path, entry(), accounts=ACCOUNTS + written))
    assert read.accounts["kling-main"].price.unit_price_micros == 0
    assert sum("unit_price" in note for note in read.notes) == 1


@pytest.mark.parametrize("field", ["duration", "to"])
def test_milliseconds_in_place_of_seconds_are_refused_where_no_limit_is_documented_too(
    field: str, tmp_path: Path
) -> None:
    extend = "{to: 5100, prompt: a}" if field == "to" else "{to: 30, prompt: a}"
    made = "{task_id: 4665a07c}" if field == "to" else "{task_id: 4665a07c, duration: 5100}"
    home = write_home(tmp_path, entry(source=made, extend=extend, account="luma"), accounts=account_of("luma", CREDIT))
    problem = only_problem(home)
    assert (problem.field, problem.given) == (f"{'extend' if field == 'to' else 'source'}.{field}", "5100")


@pytest.mark.parametrize(
    ("extend", "field"),
    [
        ("{to: 30, tolerance: 30}", "extend.tolerance"),
        ("{steps: 3, tolerance: 1}", "extend.tolerance"),
        ("{to: 30, at_most: 29.9}", "extend.at_most"),
    ],
)
def test_limits_that_contradict_the_target_are_refused(extend: str, field: str, tmp_path: Path) -> None:
    assert only_problem(write_home(tmp_path, entry(extend=extend))).field == field


@pytest.mark.parametrize("defaults", ["{at_most: 29}", "{tolerance: 30}"])
def test_a_target_that_contradicts_its_accounts_defaults_is_refused_unless_the_entry_says_otherwise(
    defaults: str, tmp_path: Path
) -> None:
    accounts = f"{ACCOUNTS}    extend: {defaults}\n"
    problem = only_problem(write_home(tmp_path / "bad", entry(), accounts=accounts))
    assert (problem.file, problem.line, problem.field) == ("catalog.yaml", 4, "extend.to")
    own = entry(extend="{to: 30, at_most: 40, tolerance: 1}")
    extend = load(write_home(tmp_path / "good", own, accounts=accounts)).catalogue.videos["one"].extend
    assert (extend.tolerance_ms, extend.at_most_ms) == (1_000, 40_000)
