"""Homes with written files, for the tests of the configuration."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from extend_pipeline.config.issues import ConfigError, ConfigIssue
from extend_pipeline.config.load import Configuration, load_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS

NOW = datetime(2026, 11, 21, tzinfo=UTC)

ACCOUNTS = """\
accounts:
  - name: kling-main
    provider: kling
    base_url: https://api-singapore.klingai.com
    credentials: {access_key_env: KLING_ACCESS_KEY, secret_key_env: KLING_SECRET_KEY}
    budget: {per_day: 100, total: 2000}
"""

CREDIT = "price: {unit: credit, per_extension: 4, unit_price: 0.1, currency: USD}"


def account_of(provider: str, *lines: str, name: str | None = None) -> str:
    """Return accounts.yaml with one account of a provider with a budget; each of `lines` is one more field."""
    fields = [
        f"- name: {name or provider}",
        f"  provider: {provider}",
        "  base_url: https://api.example.com",
        "  credentials: {api_key_env: THE_KEY}",
        "  budget: {per_day: 100, total: 2000}",
        *(f"  {line}" for line in lines),
    ]
    return "accounts:\n" + "".join(f"  {line}\n" for line in fields)


SOURCE = "{video_id: 827942411241803822, model: kling-v1-6, mode: std, duration: 5.1}"


def entry(
    key: str = "one", *, source: str = SOURCE, extend: str = "{to: 30}", account: str | None = "kling-main"
) -> str:
    """Return one catalogue entry of YAML, four lines (three without an account)."""
    lines = [f"  - key: {key}", f"    source: {source}", f"    extend: {extend}"]
    if account is not None:
        lines.append(f"    account: {account}")
    return "\n".join(lines) + "\n"


def source(**changes: str | None) -> str:
    """Return a Kling source in flow style with some fields changed, or left out where None."""
    fields = {"video_id": "827942411241803822", "model": "kling-v1-6", "mode": "std", "duration": "5.1"} | changes
    return "{" + ", ".join(f"{name}: {value}" for name, value in fields.items() if value is not None) + "}"


def write_home(
    home: Path,
    *entries: str,
    accounts: str | None = ACCOUNTS,
    catalogue: str | bytes | None = None,
    table: str | None = None,
) -> Path:
    """Write a home: entries or a whole catalogue, accounts, and a CSV catalogue."""
    home.mkdir(parents=True, exist_ok=True)
    if accounts is not None:
        (home / "accounts.yaml").write_text(accounts, encoding="utf-8")
    if entries:
        catalogue = "videos:\n" + "".join(entries)
    if isinstance(catalogue, str):
        catalogue = catalogue.encode("utf-8")
    if catalogue is not None:
        (home / "catalog.yaml").write_bytes(catalogue)
    if table is not None:
        (home / "catalog.csv").write_bytes(table.encode("utf-8"))
    return home


def load(home: Path) -> Configuration:
    """Return the configuration of a home, at NOW."""
    return load_configuration(Settings.for_home(home), PROVIDERS, now=NOW)


def problems_of(home: Path) -> tuple[ConfigIssue, ...]:
    """Return all problems of a home that must have some."""
    with pytest.raises(ConfigError) as caught:
        load(home)
    assert caught.value.problems
    return caught.value.problems


def only_problem(home: Path) -> ConfigIssue:
    """Return the one problem of a home that must have exactly one."""
    problems = problems_of(home)
    assert len(problems) == 1, [problem.text() for problem in problems]
    return problems[0]


def without_jargon(text: str) -> bool:
    """Return whether a text for users has no word of pydantic's or Python's."""
    return not re.search(r"pydantic|validation error|type=|input_|Extra inputs|NoneType|Traceback", text)
