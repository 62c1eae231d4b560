"""A video that is bought and finished before its entry is changed, and what was charged and blocked since."""

from __future__ import annotations

from typing import Any

from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support.home.engine_home import (
    EngineHome,
    account,
    drive,
)
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account, planted

EVERY = ("kling", *OTHERS)


def charges(home: EngineHome) -> int:
    """Return the number of the sandbox's charges."""
    return len(home.sandbox.charges()["charges"])


def block_reasons(planned: Plan) -> list[BlockReason | None]:
    """Return what each video waits for, in the order of the catalogue."""
    return [None if video.blocker is None else video.blocker.reason for video in planned.videos]


def finished(home: EngineHome, provider: str = "kling", *, steps: int = 2) -> dict[str, Any]:
    """Finish one video `v000` of a provider; return its entry."""
    if provider == "kling":
        (written,) = home.seeded(1, steps=steps, prompt="a")
    else:
        written = planted(home, provider, 0, key="v000", steps=steps)
        home.write([written], account_of(home, provider))
    with home.open() as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
    assert charges(home) == steps
    return written


def account_of(home: EngineHome, provider: str, **changes: Any) -> dict[str, Any]:
    """Return the account that `finished` uses, with some fields replaced."""
    if provider == "kling":
        return account(home.sandbox.base_url, **changes)
    return other_account(provider, home.sandbox.base_url, **changes)
