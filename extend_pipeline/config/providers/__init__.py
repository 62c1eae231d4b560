"""Each provider's own part of the catalogue and of the accounts: its fields, limits and prices."""
