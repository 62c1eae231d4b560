"""Homes with sources that a sandbox knows, of any provider, for measurements that really submit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.generate.home import ACCESS_ENV, SECRET_ENV, source_id
from extend_pipeline.sandbox import SandboxConfig

PROVIDERS: Final = ("kling", "kling-gateway", "vidu", "luma")
KEY_ENV: Final = "BENCH_{}_KEY"

_CREDIT: Final = {"unit": "credit", "per_extension": 1, "unit_price": 0.5, "currency": "USD"}
_ACCOUNT: Final[Mapping[str, Mapping[str, Any]]] = {
    "kling": {"credentials": {"access_key_env": ACCESS_ENV, "secret_key_env": SECRET_ENV}},
    "kling-gateway": {"price": _CREDIT},
    "vidu": {},
    "luma": {"price": _CREDIT, "output": "segment"},
}
_EXTEND: Final[Mapping[str, Mapping[str, Any]]] = {
    "vidu": {"model": "viduq2-turbo", "seconds": 4, "resolution": "540p"},
}


def provider_keys() -> dict[str, str]:
    """Return the environment variables with the sandbox's keys of the providers that have one key."""
    config = SandboxConfig()
    keys = {"kling-gateway": config.gateway.key, "vidu": config.vidu.key, "luma": config.luma.key}
    return {_key_env(provider): key for provider, key in keys.items()}


def seeds(provider: str, count: int, *, duration: float = 5.0, first: int = 0) -> list[dict[str, Any]]:
    """Return the sources of `count` videos from the number `first` on, as the sandbox takes them."""
    numbers = range(first, first + count)
    return [{"video_id": source_id(n), "duration": duration, "provider": provider} for n in numbers]


def sources(provider: str, count: int, url: str, *, first: int = 0) -> list[str]:
    """Return the same as a request names them: by id, and for Vidu by URL."""
    ids = [source_id(number) for number in range(first, first + count)]
    return [f"{url}/_sandbox/media/{name}.mp4" for name in ids] if provider == "vidu" else ids


@dataclass(frozen=True)
class World:
    """An account at the sandbox at `url`: `count` videos, each to be extended by `hops` hops, with sources of
    `duration` s, numbered from `first` on. Its name is its provider's by default. At most `in_flight` tasks run at a
    time, polled every 0.2 s, or as often as is the provider's default."""

    provider: str
    count: int
    url: str
    hops: int = 1
    duration: float = 5.0
    name: str = ""
    first: int = 0
    in_flight: int = 1_000
    default_poll: bool = False


def write_world(home: Path, provider: str, count: int, url: str, *, hops: int = 1, duration: float = 5.0) -> None:
    """Write accounts.yaml and catalog.yaml: `count` videos of one account at the sandbox, polled every 0.2 s."""
    write_worlds(home, [World(provider, count, url, hops, duration)])


def write_worlds(home: Path, worlds: Sequence[World]) -> None:
    """Write accounts.yaml and catalog.yaml of several accounts, each with prompts of its own, so that no two of them
    seem to buy the same. A Dagster that runs already begins with both at once: a home without accounts.yaml has nothing
    to do."""
    _write(home / "catalog.yaml", "videos", [entry for world in worlds for entry in _entries(world)])
    _write(home / "accounts.yaml", "accounts", [_account(world) for world in worlds])


def _account(world: World) -> dict[str, Any]:
    return {
        "name": world.name or world.provider,
        "provider": world.provider,
        "base_url": world.url,
        "allow_local": True,
        "credentials": {"api_key_env": _key_env(world.provider)},
        "max_in_flight": world.in_flight,
        "budget": {"per_day": 1_000_000, "total": 1_000_000},
        **({} if world.default_poll else {"poll": {"first_after": 0, "every": 0.2}}),
        **_ACCOUNT[world.provider],
    }


def _entries(world: World) -> list[dict[str, Any]]:
    account = world.name or world.provider
    extend = {"steps": world.hops, "prompt": f"the fog lifts, {account}", **_EXTEND.get(world.provider, {})}
    return [
        {
            "key": f"{account}-v{number:05}",
            "account": account,
            "source": _source(world.provider, name, world.duration),
            "extend": extend,
        }
        for number, name in enumerate(sources(world.provider, world.count, world.url, first=world.first))
    ]


def _source(provider: str, name: str, duration: float) -> dict[str, Any]:
    if provider == "vidu":
        return {"video_url": name, "duration": duration}
    if provider == "luma":
        return {"task_id": name, "duration": duration}
    return {"video_id": name, "model": "kling-v1-6", "mode": "std", "duration": duration}


def _write(path: Path, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(json.dumps({name: entries}, indent=0), encoding="utf-8")  # JSON is YAML


def _key_env(provider: str) -> str:
    return KEY_ENV.format(provider.upper().replace("-", "_"))
