"""The version of this program, as its package says."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def program_version() -> str:
    """Return the version of extend_pipeline; `unknown` where it runs without having been installed."""
    try:
        return version("extend_pipeline")
    except PackageNotFoundError:
        return "unknown"
