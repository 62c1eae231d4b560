"""Homes of the providers beside Kling: sources planted in the sandbox, entries and accounts as a user writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from extend_pipeline_tests.support.home.engine_home import KEY_ENVS, EngineHome

OTHERS: Final = ("kling-gateway", "vidu", "luma")

_CREDIT: Final = {"unit": "credit", "per_extension": 1, "unit_price": 0.5, "currency": "USD"}
_OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "kling-gateway": {"price": _CREDIT},
    "vidu": {},
    "luma": {"price": _CREDIT, "output": "segment"},
}
_EXTEND: Final[Mapping[str, Mapping[str, Any]]] = {
    "kling-gateway": {"prompt": "the fog lifts"},
    "vidu": {"prompt": "the fog lifts", "model": "viduq2-turbo", "seconds": 4, "resolution": "540p"},
    "luma": {"prompt": "the fog lifts"},
}


def other_account(provider: str, base_url: str = "http://127.0.0.1:9", **changes: Any) -> dict[str, Any]:
    """Return an account of the sandbox, named as its provider, with short intervals; `changes` replace fields."""
    return {
        "name": provider,
        "provider": provider,
        "base_url": base_url,
        "allow_local": True,
        "credentials": {"api_key_env": KEY_ENVS[provider]},
        "max_in_flight": 200,
        "budget": {"per_day": 1000, "total": 2000},
        "poll": {"first_after": 0.05, "every": 0.1},
        **_OWN[provider],
        **changes,
    }


def other_entry(provider: str, key: str, source: Mapping[str, Any], **extend: Any) -> dict[str, Any]:
    """Return a catalogue entry over a source of that provider; `extend` adds fields to those of one plain hop."""
    target = {} if "to" in extend else {"steps": 1}
    written = {**_EXTEND[provider], **target, **extend}
    if "prompts" in extend:
        del written["prompt"]
    return {"key": key, "account": provider, "source": dict(source), "extend": written}


def planted(
    home: EngineHome, provider: str, number: int, *, duration: float = 5.0, key: str | None = None, **extend: Any
) -> dict[str, Any]:
    """Plant a source in the sandbox and return the entry that extends it; Vidu's and Luma's have no duration, so that
    the pipeline measures it."""
    name = f"{provider}-source-{number}"
    home.sandbox.seed([{"video_id": name, "duration": duration, "provider": provider}])
    sources: dict[str, dict[str, Any]] = {
        "kling-gateway": {"video_id": name, "model": "kling-v1-6", "mode": "std", "duration": duration},
        "vidu": {"video_url": home.sandbox.source_url(name)},
        "luma": {"task_id": name},
    }
    return other_entry(provider, key or f"{provider}-{number}", sources[provider], **extend)


def other_home(home: EngineHome, provider: str, count: int = 1, **extend: Any) -> list[dict[str, Any]]:
    """Write a home with one account of a provider and `count` planted videos of it; return the entries."""
    entries = [planted(home, provider, number, **extend) for number in range(count)]
    home.write(entries, other_account(provider, home.sandbox.base_url))
    return entries
