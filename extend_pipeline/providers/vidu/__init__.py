"""Vidu through ModelVerse: requests and responses."""
