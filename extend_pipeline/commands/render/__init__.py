"""Draw tables, documents and progress for a terminal or a pipe."""
