"""What the user writes: catalogue, accounts, prices, settings. Reads and checks; never spends or connects."""
