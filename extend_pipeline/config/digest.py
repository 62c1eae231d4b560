"""Canonical JSON, equal for equal values, and its hash."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring_ascii
from typing import Final

_CONSTANTS: Final = {None: "null", True: "true", False: "false"}
_NUMBERS: Final = (int, float, Decimal)  # a union would be made anew for each value, and a plan digests thousands


def canonical_json(obj: object) -> str:
    """Return JSON with sorted keys, no spaces, ASCII only, numbers by value: 1, 1.0 and Decimal("1.00") are all `1`.

    Takes str, bool, None, int, finite float and Decimal, and mappings (of str) and sequences of them. Raises TypeError
    for anything else, and ValueError for NaN and infinities.
    """
    if isinstance(obj, str):
        return encode_basestring_ascii(obj)
    if obj is None or isinstance(obj, bool):
        return _CONSTANTS[obj]
    if isinstance(obj, _NUMBERS):
        return _number(obj)
    if isinstance(obj, Mapping):
        # raises TypeError for a key that is no text
        pairs = [f"{encode_basestring_ascii(key)}:{canonical_json(obj[key])}" for key in sorted(obj)]
        return "{" + ",".join(pairs) + "}"
    if isinstance(obj, Sequence) and not isinstance(obj, bytes | bytearray | memoryview):
        return "[" + ",".join([canonical_json(item) for item in obj]) + "]"
    raise TypeError(f"{type(obj).__name__} has no canonical JSON")


def digest(obj: object) -> str:
    """Return the SHA-256 of the canonical JSON, as 64 lower-case hex digits."""
    return hashlib.sha256(canonical_json(obj).encode("ascii")).hexdigest()


def _number(value: float | Decimal) -> str:
    if isinstance(value, int):
        return str(int(value))
    if not math.isfinite(value):
        raise ValueError(f"{value} has no JSON")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # exactly: above 2^53 the shortest text names another integer
    # repr is the shortest text that reads back as the same float, on every platform
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    if exact == 0:
        return "0"
    text = format(exact, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
