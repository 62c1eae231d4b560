"""One module a verb (or a family of verbs) of the command line, and what they share: opening a home, telling errors,
writing tables and JSON. No decision about money is made here; the engine and the ledger make them."""
