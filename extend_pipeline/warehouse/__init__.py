"""The published DuckDB file: its schema, its update from the ledger, its readers and its checks."""
