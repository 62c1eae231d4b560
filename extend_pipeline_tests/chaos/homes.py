"""The home of a storm: one account of each provider and one whose budget is soon spent, and a catalogue that grows."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from extend_pipeline.sandbox import SandboxConfig
from extend_pipeline.sandbox.config import SandboxAccount
from extend_pipeline.sandbox.kling_gateway.settings import GatewayConfig
from extend_pipeline_tests.support.home.engine_home import ACCESS_ENV, KEY_ENVS, SECRET_ENV, EngineHome, account, entry
from extend_pipeline_tests.support.home.every_provider import other_account, other_entry

CAPPED: Final = "kling-capped"
ACCOUNTS: Final = ("kling", CAPPED, "kling-gateway", "vidu", "luma")
CAPPED_TOTAL: Final = 40  # units, of 2 an extension: spent long before a storm is over
LUMA_A_DAY: Final = 60  # units, of 1 an extension: met in the storm, raised in the calm
LUMA_LATER: Final = 10_000
GATEWAY_EXPOSURE: Final = 10  # units, of 1 an extension: met whenever some are in doubt and a wave is sent
_CAPPED_ENVS: Final = ("ENGINE_TEST_CAPPED_ACCESS_KEY", "ENGINE_TEST_CAPPED_SECRET_KEY")
_CAPPED_KEYS: Final = SandboxAccount(CAPPED, "capped-access", "capped-secret-of-32-bytes-or-more", "capped-api-key")
_SHARES: Final = ("kling", "kling-gateway", "kling", "vidu", "kling-gateway", "luma")  # of the videos, in turn
_CAPPED_VIDEOS: Final = 10

QUICK: Final[Mapping[str, Any]] = {
    "post_deadline_s": 0.8,
    "lease_s": 6.5,
    "get_deadline_s": 1.0,
    "download_silence_s": 2.0,
    "lost_after_s": 0,
    "max_submits": 8,
    "max_downloads": 4,
    "max_polls": 4,
}


def storm_sandbox(seed: int) -> SandboxConfig:
    """A sandbox of the smallest films, whose accounts are called as the home's are."""
    return SandboxConfig(
        account="kling",
        extra_accounts=(_CAPPED_KEYS,),
        seed=seed,
        width=64,
        height=64,
        fps=4,
        run_time=(0.0, 0.1),
        slots=300,
        share_media=True,
        gateway=GatewayConfig(account="kling-gateway", price=Decimal("1")),
    )


def environment() -> dict[str, str]:
    """The keys of that sandbox, where the accounts look for them."""
    config = storm_sandbox(0)
    access, secret = _CAPPED_ENVS
    return {
        ACCESS_ENV: config.access_key,
        SECRET_ENV: config.secret_key,
        access: _CAPPED_KEYS.access_key,
        secret: _CAPPED_KEYS.secret_key,
        KEY_ENVS["kling-gateway"]: config.gateway.key,
        KEY_ENVS["vidu"]: config.vidu.key,
        KEY_ENVS["luma"]: config.luma.key,
    }


def storm_accounts(base_url: str, *, luma_a_day: int = LUMA_A_DAY) -> list[dict[str, Any]]:
    """The accounts as a user writes them."""
    access, secret = _CAPPED_ENVS
    keys = {"access_key_env": access, "secret_key_env": secret}
    capped = {"per_day": CAPPED_TOTAL, "total": CAPPED_TOTAL}
    return [
        account(base_url, "kling", max_in_flight=40, failed_tasks_charged="no"),
        account(base_url, CAPPED, credentials=keys, budget=capped, max_in_flight=4, failed_tasks_charged="no"),
        other_account(
            "kling-gateway",
            base_url,
            max_in_flight=30,
            failed_tasks_charged="no",
            budget={"per_day": 1_000, "total": 2_000, "in_doubt": GATEWAY_EXPOSURE},
        ),
        other_account("vidu", base_url, max_in_flight=30, output="full", failed_tasks_charged="no"),
        other_account(
            "luma",
            base_url,
            max_in_flight=12,
            failed_tasks_charged="no",
            budget={"per_day": luma_a_day, "total": LUMA_LATER},
        ),
    ]


@dataclass
class Catalogue:
    """A catalogue that grows while others read it. Every video has a source of its own, so that two charges for the
    same parent are the same step paid twice."""

    home: EngineHome
    random: random.Random
    entries: list[dict[str, Any]] = field(default_factory=list)

    def open(self, count: int) -> None:
        """Write the accounts and the first videos."""
        self.home.path.mkdir(parents=True, exist_ok=True)
        os.environ.update(environment())
        write_whole(self.home.path / "accounts.yaml", {"accounts": storm_accounts(self.home.sandbox.base_url)})
        self.grow(count)

    def grow(self, count: int) -> None:
        """Plant so many sources and add a video for each."""
        first = len(self.entries)
        chosen = [(number, _SHARES[number % len(_SHARES)]) for number in range(first, first + count)]
        seeds = [{"video_id": f"source-{n}", "duration": 5.0, "provider": p, **_owner(n, p)} for n, p in chosen]
        self.home.sandbox.seed(seeds)
        self.entries += [self._entry(number, provider) for number, provider in chosen]
        write_whole(self.home.path / "catalog.yaml", {"videos": self.entries})

    def luma_may_go_on(self) -> None:
        """Raise the budget that held Luma."""
        accounts = storm_accounts(self.home.sandbox.base_url, luma_a_day=LUMA_LATER)
        write_whole(self.home.path / "accounts.yaml", {"accounts": accounts})

    def _entry(self, number: int, provider: str) -> dict[str, Any]:
        key, source = f"{provider}-{number}", f"source-{number}"
        steps = self.random.randint(2, 3) if provider == "luma" else self.random.randint(2, 5)
        prompts = [f"{key} goes on {hop}" for hop in range(1, steps + 1)]
        match provider:
            case "kling":
                owner = _owner(number, provider).get("account", "kling")
                return entry(key, source, account=owner, steps=steps, prompts=prompts)
            case "kling-gateway":
                written: dict[str, Any] = {"video_id": source, "model": "kling-v1-6", "mode": "std", "duration": 5.0}
            case "vidu":
                return other_entry(
                    "vidu",
                    key,
                    {"video_url": self.home.sandbox.source_url(source)},
                    steps=steps,
                    seconds=1,
                    prompts=prompts,
                )
            case _:
                written = {"task_id": source}
        return other_entry(provider, key, written, steps=steps, prompts=prompts)


def _owner(number: int, provider: str) -> dict[str, Any]:
    """The first of Kling's videos belong to the account that is capped."""
    return {"account": CAPPED} if provider == "kling" and number % 6 == 2 and number < 6 * _CAPPED_VIDEOS else {}


def write_whole(path: Path, content: Mapping[str, Sequence[Any]]) -> None:
    """Write a file that others may read at any moment: they see the old one or the new one (JSON is YAML)."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)
