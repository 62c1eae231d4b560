"""The warehouse's errors, with messages for the operator."""

from pathlib import Path
from typing import Final


class WarehouseError(RuntimeError):
    """The warehouse can't be read, written or queried."""


class NotPublishedError(WarehouseError):
    """No warehouse has been published yet."""

    def __init__(self, target: Path) -> None:
        super().__init__(f"no warehouse has been published at {target} yet; run extend-pipeline publish")
        self.target = target


class OpenElsewhereError(WarehouseError):
    """The published file is open for writing, in another program or by another connection of this process, so that it
    can't be read. `message` says so, and `todo` what helps."""

    todo: Final = "close it there, or open it read-only"

    def __init__(self, target: Path, program: str) -> None:
        self.message = f"{target} is open for writing in {program}"
        super().__init__(f"{self.message}; {self.todo}")


class PublishError(WarehouseError):
    """A publish failed; the published file is unchanged."""


class QueryError(WarehouseError):
    """DuckDB refused a query; the message is DuckDB's."""
