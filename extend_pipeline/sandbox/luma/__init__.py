"""Luma through a reseller, written from docs/upstream/luma.md."""

from extend_pipeline.sandbox.luma.surface import LumaSurface

__all__ = ["LumaSurface"]
