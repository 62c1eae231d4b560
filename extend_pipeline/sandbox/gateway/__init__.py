"""Kling through a reseller, written from docs/upstream/kling-gateway.md."""

from extend_pipeline.sandbox.gateway.surface import GatewaySurface

__all__ = ["GatewaySurface"]
