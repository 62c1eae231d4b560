"""What several verbs need: opening a home, options, errors, examples."""
