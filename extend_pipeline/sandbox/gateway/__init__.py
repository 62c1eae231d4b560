"""Kling through a reseller, written from upstream/002 and providers.md."""

from extend_pipeline.sandbox.gateway.surface import GatewaySurface

__all__ = ["GatewaySurface"]
