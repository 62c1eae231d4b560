"""The ledger's indexes with a condition. They are part of the tables once this module is imported.

They stand beside the migrations that make them, because declaring one loads SQLAlchemy's part for PostgreSQL, which
would be a twentieth of the time that a command needs to start.
"""

from sqlalchemy import Column, Index, text

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import ADOPTED, LIVE, WITHDRAWN_WITH_MANY


def _index(name: str, *columns: Column[str], where: str, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


_attempts = tables.attempts.c
_live_list = ", ".join(sorted(f"'{state.value}'" for state in LIVE))

_index("ux_attempts_one_live", _attempts.video_key, _attempts.hop, where=f"state IN ({_live_list})", unique=True)
_index(
    "ux_attempts_one_stored",
    _attempts.video_key,
    _attempts.hop,
    _attempts.chain_digest,
    where="state = 'stored'",
    unique=True,
)
_index("ux_attempts_task", _attempts.account, _attempts.task_id, where="task_id IS NOT NULL", unique=True)
# few rows of many: adopted tasks, stored files whose kind is unknown, and videos that left together
_index("ix_attempts_adopted", _attempts.state, where=f"chain_digest = '{ADOPTED}'")
_index("ix_attempts_unknown_kind", _attempts.account, where="output_kind = 'unknown'")
_index("ix_videos_withdrawn_with_many", tables.videos.c.video_key, where=f"state_reason = '{WITHDRAWN_WITH_MANY}'")
_index("ix_missing_files_open", tables.missing_files.c.state, where="state <> 'restored'")
