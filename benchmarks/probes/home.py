"""Opening the home that the environment names, and timing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger.database import Ledger, open_ledger


@contextmanager
def home_ledger() -> Iterator[Ledger]:
    """Yield the home's ledger."""
    ledger = open_ledger(Settings().ledger_url)
    try:
        yield ledger
    finally:
        ledger.close()


class Stopwatch:
    """Wall seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - began


def report(**measured: Any) -> None:
    """Print what was measured."""
    print(json.dumps(measured), flush=True)
