"""Vidu through UCloud ModelVerse, written from upstream/003 and providers.md."""

from extend_pipeline.sandbox.vidu.surface import ViduSurface

__all__ = ["ViduSurface"]
