"""Builders of homes: a catalogue and accounts as a user writes them, pointed at a sandbox, and their environment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from extend_pipeline.sandbox import SandboxConfig

ACCOUNT: Final = "sandbox"
ACCESS_ENV: Final = "TEST_SANDBOX_ACCESS_KEY"
SECRET_ENV: Final = "TEST_SANDBOX_SECRET_KEY"


def credentials_env(config: SandboxConfig | None = None) -> dict[str, str]:
    """Return the variables with which homes of `write_home` sign in at a sandbox of that configuration."""
    known = config or SandboxConfig()
    return {ACCESS_ENV: known.access_key, SECRET_ENV: known.secret_key}


def video(key: str, **changes: Any) -> dict[str, Any]:
    """Return a catalogue entry of the sandbox's account: two hops from a 5.1 s source `source-KEY`, to about 14 s.

    `changes` replace whole fields: `source={...}`, `extend={...}`, `account=...`; None leaves a field out.
    """
    entry: dict[str, Any] = {
        "key": key,
        "account": ACCOUNT,
        "source": {"video_id": f"source-{key}", "model": "kling-v1-6", "mode": "std", "duration": 5.1},
        "extend": {"steps": 2, "prompt": "the fog lifts"},
        **changes,
    }
    return {name: value for name, value in entry.items() if value is not None}


def account(base_url: str, /, **overrides: Any) -> dict[str, Any]:
    """Return an account at a sandbox, polled every 0.2 s. `overrides` replace whole fields; None leaves one out."""
    fields: dict[str, Any] = {
        "name": ACCOUNT,
        "provider": "kling",
        "base_url": base_url,
        "allow_local": True,
        "credentials": {"access_key_env": ACCESS_ENV, "secret_key_env": SECRET_ENV},
        "download_hosts": ["127.0.0.1"],
        "budget": {"per_day": 1000, "total": 1000},
        "poll": {"first_after": 0.2, "every": 0.2},
        **overrides,
    }
    return {name: value for name, value in fields.items() if value is not None}


def write_home(
    path: Path,
    base_url: str,
    videos: Sequence[Mapping[str, Any]] = (),
    account: Mapping[str, Any] | None = None,
    accounts: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write a home: its catalogue, and one account at `base_url` with some fields replaced, or `accounts` as they are.

    JSON is YAML, so every text is quoted exactly. Returns the path.
    """
    path.mkdir(parents=True, exist_ok=True)
    listed = [_account(base_url, **(account or {}))] if accounts is None else list(accounts)
    (path / "catalog.yaml").write_text(json.dumps({"videos": list(videos)}, indent=1), encoding="utf-8")
    (path / "accounts.yaml").write_text(json.dumps({"accounts": listed}, indent=1), encoding="utf-8")
    return path


def seeds(videos: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the sources of catalogue entries as seeds of a sandbox; branches have none."""
    return [
        {name: source[name] for name in ("video_id", "duration", "model", "mode")}
        for source in (entry["source"] for entry in videos)
        if "video_id" in source
    ]


_account = account
