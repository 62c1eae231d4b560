"""Queries of the ledger. Nothing here changes anything."""
