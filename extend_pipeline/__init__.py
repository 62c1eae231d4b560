"""extend_pipeline: makes AI-generated videos longer, and never loses a file, a second or a credit."""
