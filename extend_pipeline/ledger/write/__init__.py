"""Transactions that change the ledger: each checks its states and appends its events."""
