"""What can go wrong with a warehouse, said for the person who reads it."""

from __future__ import annotations

from pathlib import Path


class WarehouseError(RuntimeError):
    """The warehouse can't be read, written or asked what it was asked."""


class NotPublishedError(WarehouseError):
    """There is no warehouse yet."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"no warehouse has been published at {target} yet; run extend-pipeline publish")
        self.target = target


class PublishError(WarehouseError):
    """A publish failed; what was published before is untouched."""


class QueryError(WarehouseError):
    """DuckDB refused a query; the message holds its words."""
