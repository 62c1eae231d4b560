"""Rules across fields and entries: branches, lengths, times, what a provider can reach, what buys the same."""
