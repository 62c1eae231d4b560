"""uvicorn checks every 100 ms whether it should stop, and then waits another 100 ms for its clients to disconnect.
Some hundred tests start and stop their own sandbox; for them it checks ten times as often."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
import uvicorn.server

_AS_OFTEN: Final = 10


class _PromptAsyncio:
    """The module asyncio with shorter sleeps."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(delay: float) -> None:
        """Sleep for a tenth of the delay (s)."""
        await asyncio.sleep(delay / _AS_OFTEN)


def stop_promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits of uvicorn's own loop; requests are not affected."""
    monkeypatch.setattr(uvicorn.server, "asyncio", _PromptAsyncio())
