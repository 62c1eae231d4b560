"""ModelVerse's list prices of Vidu (docs/upstream/vidu.md, "Price"), by model, resolution and seconds."""

from collections.abc import Mapping
from typing import Final

from extend_pipeline.config.model.price import Price

MODELS: Final = ("viduq2-turbo", "viduq2-pro")
RESOLUTIONS: Final = ("540p", "720p", "1080p")
MIN_SECONDS, MAX_SECONDS = 1, 7

# credits of one extension: of its first second, and of each further one
_CREDITS: Final[Mapping[str, Mapping[str, tuple[int, int]]]] = {
    "viduq2-turbo": {"540p": (10, 2), "720p": (15, 5), "1080p": (40, 10)},
    "viduq2-pro": {"540p": (15, 5), "720p": (30, 10), "1080p": (60, 15)},
}


def _list_price(model: str, resolution: str, seconds: int) -> int:
    """Return the price of one extension in micro-CNY: a credit is 0.03125 CNY, rounded half up to 0.01 per call."""
    first, further = _CREDITS[model][resolution]
    credits = first + further * (seconds - 1)
    return (credits * 3125 + 500) // 1000 * 10_000


_CALLS: Final = [
    (model, resolution, seconds)
    for model in MODELS
    for resolution in RESOLUTIONS
    for seconds in range(MIN_SECONDS, MAX_SECONDS + 1)
]
PRICE: Final = Price(
    unit="CNY",
    per_extension_micros={f"{m}/{r}/{s}": _list_price(m, r, s) for m, r, s in _CALLS},
    unit_price_micros=1_000_000,
    currency="CNY",
)
PRICE_KEYS: Final = (*MODELS, *dict.fromkeys(f"{m}/{r}" for m, r, _ in _CALLS), *(f"{m}/{r}/{s}" for m, r, s in _CALLS))


def price_key(_mode: str | None, params: Mapping[str, object]) -> str | None:
    """Return `model/resolution/seconds`, such as `viduq2-turbo/720p/5`; None if one of them is missing."""
    parts = [params.get(name) for name in ("model", "resolution", "seconds")]
    return None if None in parts else "/".join(str(part) for part in parts)
