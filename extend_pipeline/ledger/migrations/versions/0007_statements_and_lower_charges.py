"""When each of a provider's books was last read, and prices that were charged below the prediction.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.Column("unread_since", sa.BigInteger(), nullable=True),
        sa.Column("unread_message", sa.Text(), nullable=True),
        sa.Column("others", sa.Integer(), nullable=False),
        sa.Column("others_newest_at", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "source", name="pk_statements"),
    )
    op.create_table(
        "lower_charges",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("price_key", sa.Text(), nullable=False),
        sa.Column("charged_micros", sa.BigInteger(), nullable=False),
        sa.Column("predicted_micros", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("attempt_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "price_key", "charged_micros", name="pk_lower_charges"),
    )
    op.create_index("ix_attempts_video_id", "attempts", ["video_id"])
    op.create_index("ix_videos_source_video_id", "videos", ["source_video_id"])
