"""Shared by several verbs: opening a home, options, errors, examples."""
