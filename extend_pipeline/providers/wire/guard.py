"""Filter the ids, URLs and texts of a response: only what may be stored, without our own secrets."""

import re
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.scrub import scrub
from extend_pipeline.providers.wire.json import text, text_id

TEXT_CAP: Final = 1000  # characters of a task's own message
_SECRET_MIN: Final = 12  # a shorter secret may occur in an id or a host name by chance
_URL: Final = re.compile(r"https?://[^\s\x00-\x1f\x7f]{1,8000}")


@dataclass(frozen=True, slots=True)
class Guard:
    """Filters values of a response by the secrets that must not be stored."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    def id(self, value: object) -> str | None:
        """Return a valid id, or None."""
        usable = text_id(value)
        return None if usable is None or self._leaks(usable) else usable

    def url(self, value: object) -> str | None:
        """Return an absolute http(s) URL, or None. The download checks whether it may be fetched."""
        if not isinstance(value, str) or not _URL.fullmatch(value) or self._leaks(value):
            return None
        return value.encode("utf-8", "replace").decode("utf-8")

    def text(self, value: object, cap: int = TEXT_CAP) -> str:
        """Return a message without secrets, of at most `cap` characters."""
        message = text(value).strip()
        return scrub(message, secrets=self.secrets, cap=cap) if message else ""

    def _leaks(self, value: str) -> bool:
        # no `any`, which takes three times as long, because a page of a list has thousands of ids
        for secret in self.secrets:  # noqa: SIM110
            if len(secret) >= _SECRET_MIN and secret in value:
                return True
        return False
