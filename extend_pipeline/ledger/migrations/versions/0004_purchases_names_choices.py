"""What each step bought, by which names videos and accounts were first known, and what was decided about edits.

Revision ID: 0004
"""

import json

import sqlalchemy as sa
from alembic import op

from extend_pipeline.config.checks.purchase import purchase_digest, words_digest

revision = "0004"
down_revision = "0003"

_CHUNK = 1_000


def upgrade() -> None:
    op.add_column("videos", sa.Column("earlier_source_sha256", sa.Text(), nullable=True))
    op.add_column("videos", sa.Column("first_key", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("first_name", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("words", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("purchase", sa.Text(), nullable=True))
    op.create_index("ix_attempts_video_key", "attempts", ["video_key"])
    op.create_index("ix_attempts_account", "attempts", ["account"])
    op.create_index("ix_attempts_purchase", "attempts", ["purchase"])
    op.create_index("ix_charges_video_key", "charges", ["video_key"])
    op.create_table(
        "step_choices",
        sa.Column("video_key", sa.Text(), nullable=False),
        sa.Column("chain_digest", sa.Text(), nullable=False),
        sa.Column("stands_for", sa.Text(), nullable=False),
        sa.Column("hop", sa.Integer(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("video_key", "chain_digest", name="pk_step_choices"),
    )
    _say_what_was_bought(op.get_bind())


def _say_what_was_bought(connection: sa.Connection) -> None:
    """Compute both digests of every attempt, as the fold of a claim does. What was taken over from a provider's list
    tells nothing of its parameters."""
    names = ("attempt_id", "provider", "parent_video_id", "params", "chain_digest")
    attempts = sa.table("attempts", *map(sa.column, names))
    bought = sa.text("UPDATE attempts SET words = :words, purchase = :purchase WHERE attempt_id = :attempt_id")
    after = ""
    while True:
        part = sa.select(attempts).where(attempts.c.attempt_id > after).order_by(attempts.c.attempt_id).limit(_CHUNK)
        rows = list(connection.execute(part))
        if not rows:
            return
        values = []
        for row in rows:
            if row.chain_digest == "orphan":
                continue
            params = json.loads(row.params)
            values.append(
                {
                    "attempt_id": row.attempt_id,
                    "words": words_digest(params),
                    "purchase": purchase_digest(row.provider, row.parent_video_id, params),
                }
            )
        if values:
            connection.execute(bought, values)
        after = rows[-1].attempt_id
