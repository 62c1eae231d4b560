"""Recording in Dagster what the ledger has: how far it is done, and what comes next."""
