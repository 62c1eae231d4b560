"""Indexes by which what is open is read, however many videos are finished; each of the wider ones replaces one.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_PARTIAL = {
    "ix_attempts_adopted": ("state", "chain_digest = 'orphan'"),
    "ix_attempts_unknown_kind": ("account", "output_kind = 'unknown'"),
}


def upgrade() -> None:
    op.create_index("ix_videos_state_video_key", "videos", ["state", "video_key"])
    op.drop_index("ix_videos_state", "videos")
    op.create_index("ix_attempts_video_key_hop", "attempts", ["video_key", "hop"])
    op.drop_index("ix_attempts_video_key", "attempts")
    op.create_index("ix_attempts_account_claimed_at", "attempts", ["account", "claimed_at"])
    op.drop_index("ix_attempts_account", "attempts")
    op.create_index("ix_reconciliations_verdict", "reconciliations", ["verdict"])
    for name, (column, condition) in _PARTIAL.items():
        where = sa.text(condition)
        op.create_index(name, "attempts", [column], sqlite_where=where, postgresql_where=where)
