"""Parts of sentences that many texts share."""

from decimal import Decimal


def counted(count: int | Decimal, noun: str) -> str:
    """Return a number with its noun: `1 video`, `2 videos`, `0.5 units`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
