"""Output of the verbs: tables, JSON documents and progress."""
