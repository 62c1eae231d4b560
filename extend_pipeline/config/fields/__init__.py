"""Types of single fields: text, numbers, times, ids, addresses, images. Each has one reading or is refused."""
