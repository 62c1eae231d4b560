"""The rows that an open transaction changes: read once, changed in memory, and written together.

A statement costs more than the row that it writes, and so does building it. All statements here are constants with
bound parameters, and each writes all pending rows of its kind.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    Executable,
    Table,
    TextClause,
    bindparam,
    delete,
    insert,
    select,
    text,
    update,
)

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read.attempt_row import AttemptRow, attempt_row
from extend_pipeline.ledger.states import AttemptState


class _Kind(IntEnum):
    """How a pending row is written; in this order within a table, because a new live attempt may take the place of one
    that ends in the same transaction."""

    CHANGE = 0
    INSERT = 1
    PUT = 2
    REMOVE = 3


@dataclass(slots=True)
class _Pending:
    kind: _Kind
    values: dict[str, Any]


_ORDER: Final = (
    tables.events,
    tables.videos,
    tables.attempts,
    tables.charges,
    tables.accounts,
    tables.schedule,
    tables.backoff,
    tables.contacts,
)
"""The tables with pending rows, each after those that its rows refer to."""

_CHUNK: Final = 500  # SQLite's older builds take 999 parameters a statement
_ATTEMPTS: Final = select(tables.attempts).where(tables.attempts.c.attempt_id.in_(bindparam("ids", expanding=True)))
_HOLDERS: Final = select(tables.attempts.c.task_id, tables.attempts.c.attempt_id).where(
    tables.attempts.c.account == bindparam("account"),
    tables.attempts.c.task_id.in_(bindparam("task_ids", expanding=True)),
)
_EMPTY: Final = dict.fromkeys(AttemptRow._fields)


class StateRows:
    """The state tables inside one write transaction.

    An attempt is read once. What changes is kept in memory until `connection` is used or the transaction ends, so a
    statement on `connection` always sees it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._attempts: dict[str, AttemptRow] = {}
        self._expected: dict[str, None] = {}
        self._tasks: dict[tuple[str, str], str | None] = {}
        self._expected_tasks: dict[tuple[str, str], None] = {}
        self._pending: dict[Table, dict[Any, _Pending]] = {}
        self._totals: dict[str, dict[str, Any]] = {}
        self._days: dict[tuple[str, str], int] = {}

    @property
    def connection(self) -> Connection:
        """Return the connection, after what is pending was written."""
        self.flush()
        return self._connection

    def expect(self, attempt_ids: Collection[str], tasks: Collection[tuple[str, str]] = ()) -> None:
        """Read these attempts by one statement when the first of them is needed, and by another one which attempts have
        these tasks (account and task ID)."""
        self._expected.update(dict.fromkeys(attempt_ids))
        self._expected_tasks.update(dict.fromkeys(tasks))

    def attempt(self, attempt_id: str) -> AttemptRow | None:
        """Return an attempt as it is in this transaction; None if there is none with this ID."""
        if attempt_id not in self._attempts:
            wanted = [name for name in {**self._expected, attempt_id: None} if name not in self._attempts]
            self._expected = {}
            for start in range(0, len(wanted), _CHUNK):
                for row in self._connection.execute(_ATTEMPTS, {"ids": wanted[start : start + _CHUNK]}):
                    self._attempts[row.attempt_id] = attempt_row(row)
        return self._attempts.get(attempt_id)

    def holder(self, account: str, task_id: str) -> str | None:
        """Return the ID of the account's attempt that has this task; None without one."""
        if (account, task_id) not in self._tasks:
            expected = {**self._expected_tasks, (account, task_id): None}
            wanted = [name for of, name in expected if of == account and (of, name) not in self._tasks]
            self._tasks.update(dict.fromkeys((account, name) for name in wanted))
            for start in range(0, len(wanted), _CHUNK):
                parameters = {"account": account, "task_ids": wanted[start : start + _CHUNK]}
                for row in self._connection.execute(_HOLDERS, parameters):
                    self._tasks[account, row.task_id] = row.attempt_id
        return self._tasks[account, task_id]

    def insert_attempt(self, values: dict[str, Any]) -> AttemptRow:
        """Insert an attempt, and return it."""
        self.insert(tables.attempts, values)
        return self._keep(AttemptRow(**{**_EMPTY, **values, "state": AttemptState(values["state"])}))

    def change_attempt(self, attempt_id: str, values: Mapping[str, Any]) -> None:
        """Set columns of an attempt. Raises LookupError if there is none with this ID."""
        before = self.attempt(attempt_id)
        if before is None:
            raise LookupError(f"there is no attempt {attempt_id}")
        self.change(tables.attempts, attempt_id, values)
        state = AttemptState(values.get("state", before.state))
        self._keep(before._replace(**{**values, "state": state}))

    def _keep(self, row: AttemptRow) -> AttemptRow:
        self._attempts[row.attempt_id] = row
        if row.task_id is not None:
            self._tasks[row.account, row.task_id] = row.attempt_id
        return row

    def insert(self, table: Table, values: dict[str, Any]) -> None:
        """Insert a row."""
        self._pending.setdefault(table, {})[values[_key(table).name]] = _Pending(_Kind.INSERT, values)

    def change(self, table: Table, key: str | None, values: Mapping[str, Any]) -> None:
        """Set columns of the row with this key, if there is one."""
        pending = self._pending.setdefault(table, {})
        if key not in pending:
            pending[key] = _Pending(_Kind.CHANGE, dict(values))
        elif pending[key].kind is not _Kind.REMOVE:
            pending[key].values.update(values)

    def put(self, table: Table, values: dict[str, Any]) -> None:
        """Insert a row, or set these columns of the one with its key."""
        key = values[_key(table).name]
        before = self._pending.setdefault(table, {}).get(key)
        if before is not None and before.kind is _Kind.CHANGE:
            self.flush()
        elif before is not None and before.kind is not _Kind.REMOVE:
            before.values.update(values)
            return
        self._pending.setdefault(table, {})[key] = _Pending(_Kind.PUT, values)

    def remove(self, table: Table, key: str) -> None:
        """Delete the row with this key, if there is one."""
        self._pending.setdefault(table, {})[key] = _Pending(_Kind.REMOVE, {})

    def add_to_account(self, account: str, *, seq: int, in_flight: int = 0, micros: int = 0) -> None:
        """Add to an account's totals; insert the account if it has no row."""
        empty = {"account": account, "committed_micros": 0, "in_flight": 0, "paused": False}
        totals = self._totals.setdefault(account, empty)
        totals["committed_micros"] += micros
        totals["in_flight"] += in_flight
        totals["seq"] = seq

    def add_to_day(self, account: str, day: str, micros: int) -> None:
        """Add to what an account has committed on a budget day (micro-units)."""
        self._days[account, day] = self._days.get((account, day), 0) + micros

    def forget(self) -> None:
        """Write what is pending, and read every attempt again: after a statement that changed attempts itself."""
        self.flush()
        self._attempts, self._tasks = {}, {}

    def flush(self) -> None:
        """Write what is pending."""
        if self._totals:
            totals, self._totals = self._totals, {}
            self._connection.execute(_ADD_TO_ACCOUNT, list(totals.values()))
        if self._days:
            days, self._days = self._days, {}
            rows = [{"account": name, "day": day, "committed_micros": micros} for (name, day), micros in days.items()]
            self._connection.execute(_ADD_TO_DAY, rows)
        if self._pending:
            pending, self._pending = self._pending, {}
            for table in _ORDER:
                for written, of_kind in _statements(table, pending.get(table, {})):
                    self._connection.execute(written, of_kind)


def _statements(table: Table, pending: Mapping[Any, _Pending]) -> list[tuple[Executable, list[dict[str, Any]]]]:
    """Return one statement for all pending rows of a kind that set the same columns."""
    groups: dict[tuple[_Kind, frozenset[str]], list[dict[str, Any]]] = {}
    for key, row in pending.items():
        values = row.values if row.kind in (_Kind.INSERT, _Kind.PUT) else {**row.values, "of": key}
        groups.setdefault((row.kind, frozenset(row.values)), []).append(values)
    return [
        (_statement(table, kind, names), rows)
        for (kind, names), rows in sorted(groups.items(), key=lambda group: group[0][0])
    ]


@cache
def _statement(table: Table, kind: _Kind, names: frozenset[str]) -> Executable:
    match kind:
        case _Kind.CHANGE:
            return update(table).where(_key(table) == bindparam("of"))
        case _Kind.INSERT:
            return insert(table)
        case _Kind.PUT:
            return upsert(table, names)
        case _Kind.REMOVE:
            return delete(table).where(_key(table) == bindparam("of"))


@cache
def upsert(
    table: Table, names: frozenset[str], *, keeping: frozenset[str] = frozenset(), adding: frozenset[str] = frozenset()
) -> TextClause:
    """Return the statement that inserts a row of the columns `names`, or sets them on the one with its primary key.
    There, the columns `keeping` stay as they are, and values of the columns `adding` are added to what is there."""
    # text, because SQLAlchemy compiles its own form of it anew for each execution
    keys = [column.name for column in table.primary_key.columns]
    ordered = sorted(names)
    changes = [
        f"{name} = {table.name}.{name} + excluded.{name}" if name in adding else f"{name} = excluded.{name}"
        for name in ordered
        if name not in keeping and name not in keys
    ]
    columns, values = ", ".join(ordered), ", ".join(f":{name}" for name in ordered)
    return text(
        f"INSERT INTO {table.name} ({columns}) VALUES ({values}) "  # noqa: S608 - names of our own tables
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {', '.join(changes)}"
    )


@cache
def _key(table: Table) -> Column[Any]:
    (column,) = table.primary_key.columns
    return column


_ADD_TO_ACCOUNT: Final = upsert(
    tables.accounts,
    frozenset({"account", "committed_micros", "in_flight", "paused", "seq"}),
    keeping=frozenset({"paused"}),
    adding=frozenset({"committed_micros", "in_flight"}),
)
_ADD_TO_DAY: Final = upsert(
    tables.account_days, frozenset({"account", "day", "committed_micros"}), adding=frozenset({"committed_micros"})
)
