"""Submit steps: claim, mark as sending, POST once, record the outcome."""
