"""Marks of keys that a provider has refused, so that a success with another key starts its account again.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("refused_keys", sa.Text(), nullable=True))
