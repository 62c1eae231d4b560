"""Run migrations on the connection that `Ledger.migrate` opened; there is no other way in.

No migration has a `downgrade`: a ledger is never taken back; restore a copy instead.
"""

from alembic import context

from extend_pipeline.ledger.migrations import partial_indexes  # noqa: F401 - they are part of the tables then
from extend_pipeline.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
