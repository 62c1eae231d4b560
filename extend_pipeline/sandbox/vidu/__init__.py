"""Vidu through UCloud ModelVerse, written from docs/upstream/vidu.md."""

from extend_pipeline.sandbox.vidu.surface import ViduSurface

__all__ = ["ViduSurface"]
