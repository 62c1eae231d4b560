"""Luma through a reseller, written from docs/upstream/luma.md."""
