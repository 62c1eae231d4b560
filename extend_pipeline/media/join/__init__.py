"""Join two films into one: copy what fits, encode what does not."""
