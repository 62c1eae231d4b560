"""Types of single fields: text, numbers, times, ids, addresses, images. Each is read in one way or refused."""
