"""Reconcile the ledger with its providers' statements: lists, bills and invoices."""
