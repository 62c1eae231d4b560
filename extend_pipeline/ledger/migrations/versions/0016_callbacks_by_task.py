"""An index of the callbacks by the task that they name, because each doubt that a callback resolves asks whether
another one names the same.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_index("ix_inbox_task_id", "inbox", ["task_id"])
