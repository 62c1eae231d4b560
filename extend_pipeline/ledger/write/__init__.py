"""Transactions that change the ledger: each checks states and appends events."""
