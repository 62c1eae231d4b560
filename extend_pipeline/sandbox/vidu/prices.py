"""What Vidu charges for one extension: CNY by model, resolution and added seconds (docs/upstream/vidu.md, "Price")."""

from __future__ import annotations

# Credits: (for the first second, for each further one).
_CREDITS: dict[tuple[str, str], tuple[int, int]] = {
    ("viduq2-turbo", "540p"): (10, 2),
    ("viduq2-turbo", "720p"): (15, 5),
    ("viduq2-turbo", "1080p"): (40, 10),
    ("viduq2-pro", "540p"): (15, 5),
    ("viduq2-pro", "720p"): (30, 10),
    ("viduq2-pro", "1080p"): (60, 15),
}
MODELS = ("viduq2-turbo", "viduq2-pro")
RESOLUTIONS = ("540p", "720p", "1080p")


def price_milli(model: str, resolution: str, seconds: int) -> int:
    """Return thousandths of a yuan: a credit is 3.125 fen, and the whole is rounded half up to a fen."""
    first, further = _CREDITS[model, resolution]
    credit_fen_milli = 3125 * (first + further * (seconds - 1))
    return (credit_fen_milli + 500) // 1000 * 10
