"""Links in the form of presigned object-storage URLs (`X-Amz-Date` + `X-Amz-Expires`)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from extend_pipeline.sandbox.store.records import Video

_STAMP = "%Y%m%dT%H%M%SZ"


def presigned_url(base_url: str, video: Video, *, now_s: int, ttl_s: int, key: bytes) -> str:
    """Return a link that works from `now_s` (sandbox time, seconds since the epoch) for `ttl_s` seconds."""
    date = datetime.fromtimestamp(now_s, UTC).strftime(_STAMP)
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"SANDBOX/{date[:8]}/us-east-1/s3/aws4_request",
        "X-Amz-Date": date,
        "X-Amz-Expires": str(ttl_s),
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": _signature(video.video_id, date, str(ttl_s), video.url_version, key),
    }
    return f"{base_url}/_sandbox/media/{quote(video.video_id, safe='')}.mp4?{urlencode(query)}"


def presigned_problem(video: Video, query: Mapping[str, str], *, now_s: float, key: bytes) -> str | None:
    """Return why a link must not be served, or None if it is good."""
    date, ttl, given = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", ""), query["X-Amz-Signature"]
    # The version is no part of the URL: a link of an earlier one is known by its signature.
    signed_for = [
        version
        for version in range(1, video.url_version + 1)
        if hmac.compare_digest(_signature(video.video_id, date, ttl, version, key).encode(), given.encode())
    ]
    if not signed_for:
        return "SignatureDoesNotMatch"
    issued_s = datetime.strptime(date, _STAMP).replace(tzinfo=UTC).timestamp()
    if now_s >= issued_s + int(ttl) or signed_for != [video.url_version]:
        return "Request has expired"
    return None


def _signature(video_id: str, date: str, ttl: str, version: int, key: bytes) -> str:
    text = f"{video_id}\n{date}\n{ttl}\n{version}\npresigned"
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
