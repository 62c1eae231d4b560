"""Luma through a reseller, written from upstream/004 and providers.md."""

from extend_pipeline.sandbox.luma.surface import LumaSurface

__all__ = ["LumaSurface"]
