"""Read the files that users write, YAML and CSV, into nodes, which keep the text and the line of every value."""
