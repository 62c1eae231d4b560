"""The expiry of a presigned URL, from its `X-Amz-Date` and `X-Amz-Expires`. Pure, and never raises."""

import re
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from extend_pipeline.providers.wire.json import LATEST_MS

_DATE: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_SECONDS: Final = re.compile(r"[0-9]{1,7}")  # S3 signs for a week at most: 604,800 s


def presigned_expiry_ms(url: str) -> int | None:
    """Return the time (UTC ms) from which the URL is refused; None if the URL states none or an invalid one."""
    try:
        fields = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query, max_num_fields=100)}
        date, seconds = fields.get("x-amz-date", ""), fields.get("x-amz-expires", "")
        if not (_DATE.fullmatch(date) and _SECONDS.fullmatch(seconds)):
            return None
        signed = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    ends_ms = (int(signed.timestamp()) + int(seconds)) * 1000
    return ends_ms if ends_ms <= LATEST_MS else None
