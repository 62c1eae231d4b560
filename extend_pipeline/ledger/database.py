"""Open the ledger and begin transactions: many readers, one writer at a time, on SQLite and PostgreSQL alike."""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from extend_pipeline.base.userinfo import hide_words
from extend_pipeline.base.version import program_version
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.address import (
    AddressError,
    credential_parts,
    lacks_file,
    make_private_file,
    parse_address,
    shown_address,
)
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.identity import Identity, Standing, read_identity
from extend_pipeline.ledger.transactions.group_commit import GroupCommit
from extend_pipeline.ledger.transactions.turns import Turns

SCHEMA_HEAD: Final = "0016"
"""The newest migration. A ledger at this revision is opened without loading Alembic, which costs 0.3 s."""

BUSY_S: Final = 120  # a writer waits this long for other commits; each takes milliseconds

_MIGRATING: Final = threading.Lock()
"""Alembic keeps the running migration in globals of the process, so two at once in threads would interfere."""


class LedgerError(RuntimeError):
    """The ledger can't be opened or written. Nothing is submitted without it."""


class NotOpenError(LedgerError):
    """This ledger takes no writes: it has been copied elsewhere, or is a copy whose origin may still be written."""

    def __init__(self, url: str, head: Identity) -> None:
        self.head = head
        super().__init__(f"the ledger at {url} {head.why_not_open()}")


class Ledger:
    """One process's access to the ledger. Safe to use from several threads; after a fork it opens its own
    connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pid = os.getpid()
        self._engine = _build_engine(url)
        # threads of one process queue here rather than in the database's busy handler, which sleeps in coarse steps
        self._writers = GroupCommit(self._begin)
        file = self._engine.url.database if self.dialect == "sqlite" else None
        # PostgreSQL queues its writers in order by itself
        self._turn: Callable[[], AbstractContextManager[None]] = nullcontext if file is None else Turns(Path(file)).turn

    @property
    def dialect(self) -> str:
        """Return `sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @property
    def engine(self) -> Engine:
        """Return the SQLAlchemy engine of this process."""
        self._after_fork()
        return self._engine

    def _after_fork(self) -> None:
        if os.getpid() != self._pid:
            # a forked child must neither use nor close its parent's connection: closing would drop the parent's locks
            self._engine.dispose(close=False)
            self._engine = _build_engine(self.url)
            self._writers = GroupCommit(self._begin)
            self._pid = os.getpid()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection that reads one consistent snapshot."""
        with self.engine.connect() as connection:
            connection.info["mode"] = "read"
            if self.dialect == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    @contextmanager
    def write(self, *, now_ms: int, actor: str) -> Iterator[LedgerTransaction]:
        """Yield the only write transaction. It is committed when the block has ended, or leaves no trace if the block
        raises; what other threads of this process wait to write is committed with it (`transactions/group_commit.py`).

        `actor` is the process or operator that acts, and goes into every event. The event numbers of two transactions
        never interleave, so a reader that has seen number n will never find a smaller one later.
        """
        self._after_fork()
        with self._writers.block() as connection:
            head = read_identity(connection, lock=True)
            if head.standing is not Standing.OPEN:
                raise NotOpenError(shown_address(self.url), head)
            writer = LedgerTransaction(connection, now_ms=now_ms, actor=actor, seq=head.seq)
            yield writer
            writer.end()

    @contextmanager
    def alone(self) -> Iterator[tuple[Connection, Identity]]:
        """Yield the only write transaction and the head row, without checking the standing: for `write`, and for
        copying or sealing a whole ledger."""
        self._after_fork()
        with self._writers.block(shared=False) as connection:
            yield connection, read_identity(connection, lock=True)

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        # the turn first, so that readers of this process go on while other processes write
        with self._turn(), self.engine.connect() as connection:
            connection.info["mode"] = "write"
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close this process's connections."""
        self.engine.dispose()

    def migrate(self) -> None:
        """Create the tables or migrate them to the newest revision; safe when several processes do it at once."""
        with self.engine.connect() as connection:
            connection.info["mode"] = "read"
            if inspect(connection).has_table("alembic_version"):
                version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
                if version == SCHEMA_HEAD:
                    return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with _MIGRATING, self.engine.connect() as connection:
            connection.info["mode"] = "write"
            with connection.begin():
                if self.dialect == "postgresql":
                    # any fixed number works: it only serialises migrations
                    connection.execute(text("SELECT pg_advisory_xact_lock(7160315428)"))
                config.attributes["connection"] = connection
                try:
                    command.upgrade(config, "head")
                except CommandError as error:
                    raise LedgerError(
                        f"the ledger at {shown_address(self.url)} was written by another version of "
                        f"extend-pipeline ({_program(connection)}; this is {program_version()}): {error}. Nothing is "
                        "submitted without it. Use that version, or a newer one."
                    ) from None
                if connection.execute(select(tables.ledger_head.c.seq)).first() is None:
                    connection.execute(insert(tables.ledger_head).values(id=1, seq=0))


def _program(connection: Connection) -> str:
    """Return the version that wrote a ledger last; `unknown` if its tables don't show it."""
    with contextlib.suppress(SQLAlchemyError):
        return connection.execute(select(tables.ledger_head.c.program)).scalar() or "unknown"
    return "unknown"


def has_ledger(url: str) -> bool:
    """Return whether there is a ledger at a URL; creates nothing. A database that can't be reached counts as one,
    because opening it reports why."""
    try:
        if lacks_file(parse_address(url)):
            return False
        with closing(Ledger(url)) as ledger:
            return inspect(ledger.engine).has_table("alembic_version")
    except (SQLAlchemyError, OSError, LedgerError, ImportError, ValueError):
        return True


def open_ledger(url: str) -> Ledger:
    """Open the ledger at a SQLAlchemy URL, creating or migrating it. Raises LedgerError, with what to do."""
    with _opening(url) as parsed:
        make_private_file(parsed)
        return _migrated(Ledger(url))


def find_ledger(url: str) -> Ledger | None:
    """Open the ledger at a SQLAlchemy URL, migrating it; None if there is none, and nothing is created. Raises
    LedgerError, with what to do."""
    with _opening(url) as parsed:
        if not lacks_file(parsed):
            ledger = Ledger(url)
            if inspect(ledger.engine).has_table("alembic_version"):
                return _migrated(ledger)
            ledger.close()
    return None


def _migrated(ledger: Ledger) -> Ledger:
    with ExitStack() as failed:
        failed.callback(ledger.close)
        ledger.migrate()
        # imported here because handover imports this module
        from extend_pipeline.ledger.handover import settle

        settle(ledger)
        failed.pop_all()
    return ledger


@contextmanager
def _opening(url: str) -> Iterator[URL]:
    """Yield the parsed address; raise what goes wrong in the block as LedgerError, with what to do."""
    try:
        yield parse_address(url)
    except (SQLAlchemyError, OSError, ImportError, ValueError) as error:
        shown = shown_address(url)
        cause = _cause(error)
        raise LedgerError(
            f"the ledger at {shown} can't be opened: {cause}. Nothing is submitted without it. "
            "Check EXTEND_PIPELINE_LEDGER_URL, the folder's permissions and that the database runs."
        ) from None


def _cause(error: Exception) -> str:
    if isinstance(error, AddressError):
        return str(error)
    if isinstance(error, ValueError):  # from parsing the address; it may repeat any part of it
        return "the address is malformed"
    cause = (str(error.__cause__ or error).splitlines() or [type(error).__name__])[0]
    if "statement pooling" in cause:  # PgBouncer's message
        return f"{cause}; a ledger needs whole transactions: set pool_mode = transaction in PgBouncer"
    return cause


def _build_engine(url: str) -> Engine:
    try:
        return _engine_at(url)
    except ModuleNotFoundError as error:  # SQLAlchemy imports the driver only now
        if error.name == "psycopg":
            raise LedgerError(
                "a ledger in PostgreSQL needs its driver, which is not installed: "
                "pip install 'extend_pipeline[postgres]'"
            ) from None
        raise LedgerError(
            f"the ledger's address asks for {error.name}, which is not installed; write postgresql://… or sqlite:///…"
        ) from None


def _engine_at(url: str) -> Engine:
    parsed = parse_address(url)
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return _postgresql_engine(parsed, credential_parts(url))
    if backend != "sqlite":
        raise LedgerError(
            f"a ledger lives in SQLite or PostgreSQL, not in {backend}; set EXTEND_PIPELINE_LEDGER_URL to one of them"
        )
    engine = create_engine(
        parsed,
        poolclass=QueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=BUSY_S,
        connect_args={"check_same_thread": False, "timeout": BUSY_S},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _on_connect(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # `_begin` sends BEGIN; the driver must not
        cursor = dbapi_connection.cursor()
        # a rollback journal: WAL of SQLite before 3.51.3 can lose a commit when the log is reset under load
        cursor.execute("PRAGMA journal_mode=TRUNCATE")
        cursor.execute("PRAGMA synchronous=EXTRA")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    def _begin(dbapi_connection: PoolProxiedConnection) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute("BEGIN IMMEDIATE" if dbapi_connection.info.get("mode") == "write" else "BEGIN")
        cursor.close()

    # no listener of the engine's `begin`: with one, SQLAlchemy looks for other listeners four times a statement
    engine.dialect.do_begin = _begin  # type: ignore[method-assign]
    return engine


def _postgresql_engine(parsed: URL, secrets: frozenset[str]) -> Engine:
    engine = create_engine(
        parsed,
        pool_size=2,
        max_overflow=2,
        pool_pre_ping=True,
        hide_parameters=True,
        use_native_hstore=False,  # no column has that type, and each new connection would ask for it
        # because a pooler in transaction mode (PgBouncer) gives each transaction a session without its prepared queries
        connect_args={"prepare_threshold": None},
    )

    @event.listens_for(engine, "handle_error")
    def _hide_login(context: ExceptionContext) -> None:
        """Remove the user's name, which the server repeats in refusals, because an error goes to screens, logs and
        Dagster."""
        for error in (context.original_exception, context.sqlalchemy_exception):
            if error is not None:
                error.args = tuple(hide_words(arg, secrets) if isinstance(arg, str) else arg for arg in error.args)

    return engine
