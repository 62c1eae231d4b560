"""Links to films, and why one is turned down."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from extend_pipeline.sandbox.store.records import Video
from extend_pipeline.sandbox.surface.presigned import presigned_problem


def fresh_link(base_url: str, video: Video, now_ms: int, ttl_s: float, key: bytes) -> str:
    """Return a link that works for `ttl_s` seconds from now."""
    return media_url(base_url, video, expires_s=int(now_ms / 1000 + ttl_s), key=key)


def media_url(base_url: str, video: Video, *, expires_s: int, key: bytes) -> str:
    """Return a link that works until `expires_s` (sandbox time, seconds since the epoch) or until links are
    withdrawn."""
    signature = _signature(video.video_id, str(expires_s), str(video.url_version), key)
    return f"{public_url(base_url, video)}?expires={expires_s}&v={video.url_version}&sig={signature}"


def public_url(base_url: str, video: Video) -> str:
    """Return the link to a film that lies in public: it has neither signature nor end."""
    return f"{base_url}/_sandbox/media/{quote(video.video_id, safe='')}.mp4"


def link_problem(video: Video, query: Mapping[str, str], *, now_s: float, key: bytes) -> str | None:
    """Return why a link must not be served, or None if it is good."""
    if "X-Amz-Signature" in query:
        return presigned_problem(video, query, now_s=now_s, key=key)
    expires, version = query.get("expires", ""), query.get("v", "")
    expected = _signature(video.video_id, expires, version, key)
    if not hmac.compare_digest(expected.encode(), query.get("sig", "").encode()):
        return "SignatureDoesNotMatch"
    if now_s >= int(expires) or version != str(video.url_version):
        return "Request has expired"
    return None


def _signature(video_id: str, expires: str, version: str, key: bytes) -> str:
    return hmac.new(key, f"{video_id}\n{expires}\n{version}".encode(), hashlib.sha256).hexdigest()[:32]
