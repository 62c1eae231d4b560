"""The published DuckDB file: what it holds, how it is kept up from the ledger, how it is read and checked."""
