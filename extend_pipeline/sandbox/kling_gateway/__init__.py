"""Kling through a reseller, written from docs/upstream/kling-gateway.md."""
