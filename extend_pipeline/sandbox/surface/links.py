"""Links to films: which form each surface gives them, and why one is turned down."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from extend_pipeline.sandbox.store.records import Video
from extend_pipeline.sandbox.surface.presigned import is_presigned, presigned_problem, presigned_url


def surface_url(base_url: str, video: Video, *, now_ms: int, ttl_s: float, key: bytes) -> str:
    """The link that a video's surface gives now: fresh ones, but for Vidu, which gives one and the same for good.

    A seed of Vidu's is a film that lies somewhere in public: its link has neither signature nor end.
    """
    if is_public(video):
        return f"{base_url}{_path(video)}"
    match video.surface:
        case "vidu":
            first = replace(video, url_version=1)
            return media_url(base_url, first, expires_s=int(video.created_ms / 1000 + ttl_s), key=key)
        case "luma":
            return presigned_url(base_url, video, now_s=now_ms // 1000, ttl_s=int(ttl_s), key=key)
        case _:
            return media_url(base_url, video, expires_s=int(now_ms / 1000 + ttl_s), key=key)


def media_url(base_url: str, video: Video, *, expires_s: int, key: bytes) -> str:
    """A link that works until `expires_s` (sandbox time, seconds since the epoch) or until links are withdrawn."""
    signature = _signature(video.video_id, str(expires_s), str(video.url_version), key)
    return f"{base_url}{_path(video)}?expires={expires_s}&v={video.url_version}&sig={signature}"


def is_public(video: Video) -> bool:
    """Whether a film may be had without a signature."""
    return video.surface == "vidu" and video.parent_id is None


def link_problem(video: Video, query: Mapping[str, str], *, now_s: float, key: bytes) -> str | None:
    """Why a link must not be served, or None if it is good."""
    if is_public(video):
        return None
    if is_presigned(query):
        return presigned_problem(video, query, now_s=now_s, key=key)
    expires, version = query.get("expires", ""), query.get("v", "")
    expected = _signature(video.video_id, expires, version, key)
    if not hmac.compare_digest(expected.encode(), query.get("sig", "").encode()):
        return "SignatureDoesNotMatch"
    if now_s >= int(expires) or version != str(video.url_version):
        return "Request has expired"
    return None


def _path(video: Video) -> str:
    return f"/_sandbox/media/{quote(video.video_id, safe='')}.mp4"


def _signature(video_id: str, expires: str, version: str, key: bytes) -> str:
    return hmac.new(key, f"{video_id}\n{expires}\n{version}".encode(), hashlib.sha256).hexdigest()[:32]
