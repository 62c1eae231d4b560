"""Why the last look at an attempt ended as it did, as columns; until now the beginning of its note said so.

Revision ID: 0010
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

# how a note began, the cause that it meant, and whether the words were there for programs alone
_PREFIXES = (
    ("no room: ", "no_room", True),
    ("refused: ", "fetch_refused", True),
    ("no control", "no_control", False),
    ("its key was found on task", "foreign_task", False),
    ("not found ", "not_found", False),
    ("not there yet: ", "not_there", False),
)
_GONE = re.compile(r"said to be gone, in a row: (\d+) since (\S+);")
_UNSOUND = re.compile(r"unsound (\S+) ")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def upgrade() -> None:
    op.add_column("schedule", sa.Column("cause", sa.Text(), nullable=True))
    op.add_column("schedule", sa.Column("refusals", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("schedule", sa.Column("refused_since", sa.BigInteger(), nullable=True))
    op.add_column("schedule", sa.Column("sha256", sa.Text(), nullable=True))
    names = ("attempt_id", "note", "cause", "refusals", "refused_since", "sha256")
    table = sa.table("schedule", *(sa.column(name) for name in names))
    connection = op.get_bind()
    for attempt_id, note in connection.execute(sa.select(table.c.attempt_id, table.c.note)).all():
        meant = _meaning(note)
        if meant:
            connection.execute(sa.update(table).where(table.c.attempt_id == attempt_id).values(**meant))


def _meaning(note: str) -> dict[str, Any]:
    """Return the columns that a note of the version before stands for; empty where it decided nothing."""
    if (gone := _GONE.match(note)) is not None:
        since_ms = (datetime.fromisoformat(gone[2]) - _EPOCH) // timedelta(milliseconds=1)
        return {"cause": "said_gone", "refusals": int(gone[1]), "refused_since": since_ms}
    if (unsound := _UNSOUND.match(note)) is not None:
        return {"cause": "unsound", "sha256": unsound[1], "note": note[unsound.end() :]}
    for prefix, cause, is_private in _PREFIXES:
        if note.startswith(prefix):
            return {"cause": cause, **({"note": note.removeprefix(prefix)} if is_private else {})}
    return {}
