"""Submits in a row that an account's provider left without a reply, and when it last replied. The events of a ledger
of before tell of neither, so an account begins with none.

Revision ID: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("silent_submits", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "contacts",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("replied_at", sa.BigInteger(), nullable=True),
        sa.Column("silences", sa.Integer(), nullable=False),
        sa.Column("ask_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", name="pk_contacts"),
    )
