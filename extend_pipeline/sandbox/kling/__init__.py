"""The official Kling video-extension API, written from docs/upstream/kling.md."""

from extend_pipeline.sandbox.kling.billing import BillingSurface
from extend_pipeline.sandbox.kling.surface import KlingSurface

__all__ = ["BillingSurface", "KlingSurface"]
