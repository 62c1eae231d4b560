"""An index of the videos that left the catalogue with many others at once, which may be a mistake.

Revision ID: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    where = sa.text("state_reason = 'withdrawn_with_many'")
    op.create_index(
        "ix_videos_withdrawn_with_many", "videos", ["video_key"], sqlite_where=where, postgresql_where=where
    )
