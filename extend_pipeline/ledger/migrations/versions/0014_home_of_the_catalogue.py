"""The home that declared the catalogue, when it looked last, and the catalogues before. A ledger of before tells of
none of them, so the home that looks next with the same catalogue is taken for it.

Revision ID: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    for name, kind in (("home_mark", sa.Text()), ("home_name", sa.Text())):
        op.add_column("declared_catalogue", sa.Column(name, kind, nullable=True))
    for name in ("seen_at", "left_over_since"):
        op.add_column("declared_catalogue", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_table(
        "earlier_catalogues",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_earlier_catalogues"),
    )
    # a version that was never released kept the home behind the digest
    table = sa.table("declared_catalogue", sa.column("digest"))
    connection = op.get_bind()
    for digest in connection.execute(sa.select(table.c.digest)).scalars().all():
        connection.execute(sa.update(table).values(digest=digest.partition(" ")[0]))
