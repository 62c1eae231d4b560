"""Chance without chance: ids, run times and added lengths, each a function of the sandbox's seed and a name."""

from __future__ import annotations

import hashlib
import uuid

# docs/upstream/kling.md, "Length": 4 to 5 s; the published example went from 5.1 to 9.6.
_ADDED_MS = (4500, 4600, 4700, 4800, 4900, 5000)
_ID_FLOOR = 8 * 10**17


def _number(seed: int, *parts: object) -> int:
    digest = hashlib.sha256("\0".join(map(str, (seed, *parts))).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def draw_id(seed: int, kind: str, number: int) -> str:
    """Return the id of the `number`-th thing of that kind: 18 digits, above 2**53 as the real ones are."""
    return str(_ID_FLOOR + _number(seed, kind, number) % 10**17)


def draw_uuid(seed: int, kind: str, number: int) -> str:
    """Return the id of the `number`-th thing of that kind, as a UUID."""
    digest = hashlib.sha256("\0".join(map(str, (seed, "uuid", kind, number))).encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def draw_run_time_ms(seed: int, task_id: str, run_time: tuple[float, float]) -> int:
    """Return how long a task runs, between the two bounds (seconds)."""
    low, high = run_time
    return round((low + (high - low) * (_number(seed, "run", task_id) / 2**64)) * 1000)


def draw_added_ms(seed: int, name: str) -> int:
    """Return how much an extension adds: 4.5 to 5.0 s in tenths."""
    return _ADDED_MS[_number(seed, "added", name) % len(_ADDED_MS)]


def draw_hue(seed: int, root_video_id: str, hop: int) -> int:
    """Return the film's hue in degrees; it turns a little at each hop, so that a person sees the seam."""
    return (_number(seed, "hue", root_video_id) + 35 * hop) % 360
