"""Check that a file is a whole film, by its structure and by its frames."""
