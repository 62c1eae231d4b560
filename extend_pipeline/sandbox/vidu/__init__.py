"""Vidu through UCloud ModelVerse, written from docs/upstream/vidu.md."""
