"""Which film a `video_url` stands for, and whether it can be fetched now and is of a length that can be extended."""

from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import parse_qsl, unquote, urlsplit

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.store.records import Video, seconds_text
from extend_pipeline.sandbox.surface.links import link_problem, media_url, public_url
from extend_pipeline.sandbox.vidu.errors import Refusal, param_error

_MEDIA = re.compile(r"/_sandbox/media/(.+)\.mp4")
# docs/upstream/vidu.md, "Source": 4 to 60 s.
_MIN_MS, _MAX_MS = 4_000, 60_000


def source_of(core: Core, url: str, base_url: str) -> Video | Refusal:
    """Return the film behind a URL: one of this sandbox's links, of any surface, or a URL that a seed named."""
    known = core.store.video_at(url)
    video = None if known is None else core.store.video(known)
    if video is None:
        video = _own(core, url, {base_url, core.base_url})
    if video is None:
        return param_error(f"input.video_url cannot be fetched: {url.partition('?')[0]}")
    length_ms = core.file_ms(video)
    if not _MIN_MS <= length_ms <= _MAX_MS:
        return param_error(f"input.video_url must be 4 to 60 s long, got {seconds_text(length_ms)} s")
    return video


def _own(core: Core, url: str, hosts: set[str]) -> Video | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    match = _MEDIA.fullmatch(parts.path)
    if match is None or f"{parts.scheme}://{parts.netloc}" not in hosts:
        return None
    video = core.store.video(unquote(match[1]))
    now_ms = core.clock.now_ms()
    if video is None or core.is_public(video):
        return video
    if video.parent_id is not None and video.created_ms > now_ms:
        return None
    query = dict(parse_qsl(parts.query))
    return None if link_problem(video, query, now_s=now_ms / 1000, key=core.store.signing_key) else video


def link(base_url: str, video: Video, _now_ms: int, ttl_s: float, key: bytes) -> str:
    """Return the link to a film: one and the same for good, which ends `ttl_s` seconds after the film was made. A seed
    is a film that lies in public."""
    if video.parent_id is None:
        return public_url(base_url, video)
    return media_url(base_url, replace(video, url_version=1), expires_s=int(video.created_ms / 1000 + ttl_s), key=key)
