"""Read the files that a user writes, YAML and CSV, into located entries; every value keeps its text and its line."""
