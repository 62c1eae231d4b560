"""One line of the ledger's history."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the ledger's history. `data` holds everything the fold needs, as JSON-able values."""

    seq: int
    at: int
    kind: str
    actor: str
    attempt_id: str | None
    video_key: str | None
    account: str | None
    data: Mapping[str, Any]
