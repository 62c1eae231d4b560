"""Which ledger this is, and whether it may be written: an id, and where it was copied from and to.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    for name in ("ledger_id", "origin_id", "origin_url", "moved_to_id", "moved_to_url"):
        op.add_column("ledger_head", sa.Column(name, sa.Text(), nullable=True))
    for name in ("origin_seq", "moved_at"):
        op.add_column("ledger_head", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("ledger_head", sa.Column("standing", sa.Text(), nullable=False, server_default="open"))
