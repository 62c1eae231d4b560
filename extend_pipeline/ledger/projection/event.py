"""An event of the ledger, as stored and as applied."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `at` is UTC ms; `data` holds everything that its projection needs, as JSON values."""

    seq: int
    at: int
    kind: str
    actor: str
    attempt_id: str | None
    video_key: str | None
    account: str | None
    data: Mapping[str, Any]
