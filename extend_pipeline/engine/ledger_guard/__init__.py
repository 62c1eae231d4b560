"""Whether the ledger that was opened is the one that this home has worked with; nothing is submitted where it isn't."""
