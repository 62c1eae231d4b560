"""The official Kling video-extension API, written from upstream/000, upstream/001 and providers.md."""

from extend_pipeline.sandbox.kling.billing import BillingSurface
from extend_pipeline.sandbox.kling.surface import KlingSurface

__all__ = ["BillingSurface", "KlingSurface"]
