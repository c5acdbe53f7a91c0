"""Alembic's environment: the connection is handed over by `storage.schema`."""

from __future__ import annotations

from alembic import context

from storage.models import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
    compare_type=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
