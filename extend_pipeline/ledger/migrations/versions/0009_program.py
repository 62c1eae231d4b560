"""The version of the program that wrote the last event.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("ledger_head", sa.Column("program", sa.Text(), nullable=True))
