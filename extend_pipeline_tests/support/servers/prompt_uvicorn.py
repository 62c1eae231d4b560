"""uvicorn looks every tenth of a second whether it should stop, and then waits another tenth for its clients to go.
Some hundred tests start and stop a sandbox of their own; for them it looks ten times as often."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest
import uvicorn.server

_AS_OFTEN: Final = 10


class _PromptAsyncio:
    """asyncio, but for one thing: a sleep is shorter."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(delay: float) -> None:
        """A tenth of it."""
        await asyncio.sleep(delay / _AS_OFTEN)


def stop_promptly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the waits of uvicorn's own loop; what is served is not touched."""
    monkeypatch.setattr(uvicorn.server, "asyncio", _PromptAsyncio())
