"""Media files: storage, checks, seam, poster and assembly, without HTTP and without the ledger."""
