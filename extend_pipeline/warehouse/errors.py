"""The warehouse's errors, with messages for the operator."""

from pathlib import Path


class WarehouseError(RuntimeError):
    """The warehouse can't be read, written or queried."""


class NotPublishedError(WarehouseError):
    """No warehouse has been published yet."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"no warehouse has been published at {target} yet; run extend-pipeline publish")
        self.target = target


class PublishError(WarehouseError):
    """A publish failed; the published file is unchanged."""


class QueryError(WarehouseError):
    """DuckDB refused a query; the message is DuckDB's."""
