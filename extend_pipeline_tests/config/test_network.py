"""The way to a provider: whose certificates count, and what `defaults:` says for all accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.config.accounts import Account
from extend_pipeline_tests.config.written import CREDIT, entry, load, only_problem, problems_of, write_home


def accounts(*lines: str, defaults: str = "", provider: str = "kling") -> str:
    """Two accounts, the first with the given lines."""
    credentials = "{access_key_env: AK, secret_key_env: SK}" if provider == "kling" else "{api_key_env: AK}"
    head = f"defaults: {defaults}\n" if defaults else ""
    text = f"{head}accounts:\n"
    for name, own in (("kling-main", lines), ("other", ())):
        fields = [
            "base_url: https://api.example.com",
            f"credentials: {credentials}",
            "budget: {per_day: 100, total: 2000}",
            *own,
        ]
        if provider != "kling":
            fields.append(CREDIT)
        fields = [
            line for line in fields if not (line.startswith("base_url") and any("base_url" in own for own in own))
        ]
        text += f"  - name: {name}\n    provider: {provider}\n" + "".join(f"    {line}\n" for line in fields)
    return text


def read(home: Path, *lines: str, defaults: str = "") -> tuple[Account, Account]:
    configuration = load(write_home(home, entry(), accounts=accounts(*lines, defaults=defaults)))
    return configuration.accounts["kling-main"], configuration.accounts["other"]


@pytest.mark.parametrize("written", ["public", "System", "/etc/ssl/company ca.pem"])
def test_a_ca_is_read_as_written(tmp_path: Path, written: str) -> None:
    first, other = read(tmp_path, f"ca: {written}")
    assert first.ca == (written if written.startswith("/") else written.lower())
    assert other.ca is None


@pytest.mark.parametrize("written", ["company.pem", "true", "[system]", "~/ca.pem"])
def test_a_ca_that_is_none_is_told_with_its_place(tmp_path: Path, written: str) -> None:
    problem = only_problem(write_home(tmp_path, entry(), accounts=accounts(f"ca: {written}")))
    assert (problem.field, problem.subject) == ("ca", "kling-main")


def test_defaults_hold_for_accounts_that_say_nothing_else(tmp_path: Path) -> None:
    first, other = read(tmp_path, "ca: public", defaults="{ca: system}")
    assert (first.ca, other.ca) == ("public", "system")
    first, other = read(tmp_path, "ca: null", defaults="{ca: system}")
    assert (first.ca, other.ca) == ("system", "system")
    assert [account.ca for account in read(tmp_path, defaults="{ca: null}")] == [None, None]


def test_defaults_are_kept_with_the_entries_that_they_hold_for(tmp_path: Path) -> None:
    configuration = load(write_home(tmp_path, entry(), accounts=accounts(defaults="{ca: system}")))
    kept = configuration.written["other"]
    assert isinstance(kept, dict)
    assert kept["ca"] == "system"


@pytest.mark.parametrize("defaults", ["{ca: nowhere}", "{base_url: https://x.example}", "[ca]", "system"])
def test_defaults_that_are_wrong_are_told_once(tmp_path: Path, defaults: str) -> None:
    (problem,) = problems_of(write_home(tmp_path, entry(), accounts=accounts(defaults=defaults)))
    assert str(problem.field).startswith("defaults")
    assert problem.subject is None
    assert problem.line == 1
