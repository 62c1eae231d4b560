"""The files that a user writes for a generated home: accounts.yaml and catalog.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

ACCESS_ENV, SECRET_ENV = "BENCH_ACCESS_KEY", "BENCH_SECRET_KEY"
SOURCE_S: Final = 5.0
SOURCE_MS: Final = int(SOURCE_S * 1000)

_ACCOUNT: Final = """\
  - name: {name}
    provider: kling
    base_url: {url}
    credentials: {{access_key_env: {access}, secret_key_env: {secret}}}
    max_in_flight: {in_flight}
    allow_local: true
    budget: {{per_day: 1000000000, total: 1000000000}}
    poll: {{first_after: {first_after}, every: {every}}}
"""
_VIDEO: Final = (
    "  - {{key: {key}, account: {account}, source: {{video_id: '{source}', model: kling-v1-6, mode: std, "
    "duration: {seconds}}}, extend: {{steps: {hops}, prompt: the fog lifts}}}}\n"
)


def account_name(number: int) -> str:
    """Return the name of an account, counted from 0."""
    return f"bench-{number + 1}"


def video_key(number: int) -> str:
    """Return the key of a video, counted from 0."""
    return f"v{number:07}"


def source_id(number: int) -> str:
    """Return the provider's id of a video's source. None ends in zeros, which would look like a rounded number."""
    return str(800_000_000_000_000_001 + 10 * number)


def write_accounts(home: Path, count: int, *, url: str, first_after: float = 0, every: float = 0.2) -> None:
    """Write accounts.yaml with `count` accounts of the sandbox at `url`, polled every `every` s."""
    fields = {"url": url, "access": ACCESS_ENV, "secret": SECRET_ENV, "in_flight": 10_000}
    poll = {"first_after": first_after, "every": every}
    accounts = (_ACCOUNT.format(name=account_name(number), **fields, **poll) for number in range(count))
    (home / "accounts.yaml").write_text("accounts:\n" + "".join(accounts), encoding="utf-8")


def write_catalogue(home: Path, numbers: Iterable[int], *, hops: int, accounts: int) -> None:
    """Write catalog.yaml with these videos, each to be extended by `hops` hops, dealt out to the accounts in turn."""
    with (home / "catalog.yaml").open("w", encoding="utf-8") as file:
        file.write("videos:\n")
        for number in numbers:
            names = {"key": video_key(number), "account": account_name(number % accounts)}
            file.write(_VIDEO.format(**names, source=source_id(number), seconds=SOURCE_S, hops=hops))
