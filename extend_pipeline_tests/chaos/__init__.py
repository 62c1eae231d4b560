"""Six processes that advance one home while they are killed, stopped past their leases and lied to; then calm, and the
counting of what was paid."""
