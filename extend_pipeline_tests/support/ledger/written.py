"""A ledger that other processes write to between the reads of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from extend_pipeline.ledger.database import Ledger


class WrittenLedger(Ledger):
    """Calls `write` with the number of the read before each read."""

    def __init__(self, url: str, write: Callable[[int], None]) -> None:
        super().__init__(url)
        self.reads = 0
        self._write_between = write

    @contextmanager
    def read(self) -> Iterator[Connection]:
        self.reads += 1
        self._write_between(self.reads)
        with super().read() as connection:
            yield connection
