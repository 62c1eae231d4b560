"""Models of what a user declares: accounts, prices, targets, entries of the catalogue."""
