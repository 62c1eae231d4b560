"""Let through of a response only what may be stored: ids, URLs and words without any of our own secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.scrub import scrub
from extend_pipeline.providers.wire.json import text, text_id

TEXT_CAP: Final = 1000  # characters of a task's own message
_SECRET_MIN: Final = 12  # a shorter secret may be part of an id or a host name by chance
_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f]{1,8000}")


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets ids, URLs and texts through only as far as they can be stored and hold none of our own secrets."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    def id(self, value: object) -> str | None:
        """Return an id that can be used, or None."""
        usable = text_id(value)
        return None if usable is None or self._leaks(usable) else usable

    def url(self, value: object) -> str | None:
        """Return an absolute http(s) URL, or None. Whether it may be fetched is for the download to say."""
        if not isinstance(value, str) or not _URL.fullmatch(value) or self._leaks(value):
            return None
        return value.encode("utf-8", "replace").decode("utf-8")

    def text(self, value: object, cap: int = TEXT_CAP) -> str:
        """Return words for people, scrubbed and capped."""
        return scrub(text(value).strip(), secrets=self.secrets, cap=cap)

    def _leaks(self, value: str) -> bool:
        return any(secret in value for secret in self.secrets if len(secret) >= _SECRET_MIN)
