"""The verbs of the command line, one module each. Decisions about money are left to the engine and the ledger."""
