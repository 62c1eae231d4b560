"""Films that are assembled from segments, and what is known of a source before its first hop.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for name, kind in (
        ("source_probed_ms", sa.BigInteger),
        ("source_fault", sa.Text),
        ("source_fault_at", sa.BigInteger),
    ):
        op.add_column("videos", sa.Column(name, kind(), nullable=True))
    for name in ("film_sha256", "film_path", "film_note"):
        op.add_column("attempts", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("film_duration_ms", sa.BigInteger(), nullable=True))
