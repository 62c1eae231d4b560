"""Files of the media store that are gone or damaged, and the folder in which each file lies.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "missing_files",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("video_key", sa.Text(), nullable=False),
        sa.Column("hop", sa.Integer(), nullable=True),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "role", name="pk_missing_files"),
    )
    still_open = sa.text("state <> 'restored'")
    op.create_index(
        "ix_missing_files_open", "missing_files", ["state"], sqlite_where=still_open, postgresql_where=still_open
    )
    op.create_index("ix_attempts_file_folder", "attempts", [sa.text("substr(sha256, 1, 2)")])
    op.create_index("ix_attempts_film_folder", "attempts", [sa.text("substr(film_sha256, 1, 2)")])
    op.create_index("ix_videos_source_folder", "videos", [sa.text("substr(source_sha256, 1, 2)")])
