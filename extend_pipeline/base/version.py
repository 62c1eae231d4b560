"""The version of this program."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def program_version() -> str:
    """Return the installed version of extend_pipeline; `unknown` when it isn't installed."""
    try:
        return version("extend_pipeline")
    except PackageNotFoundError:
        return "unknown"
