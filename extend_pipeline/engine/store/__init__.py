"""Compare the media store with the ledger, and restore what is missing."""
