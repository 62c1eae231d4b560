"""Serving films by signed link, and the ways in which that goes wrong."""

from __future__ import annotations

import hashlib
import re

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.faults.responses import Reset, faulty_answer
from extend_pipeline.sandbox.store.records import Video
from extend_pipeline.sandbox.surface.links import link_problem
from extend_pipeline.sandbox.surface.making import request_ids, task_ids

_PATH = "/_sandbox/media/{video_id:path}.mp4"
# docs/upstream/kling.md, "Retention": 30 days.
_KEPT_MS = 30 * 86_400_000


class Downloads:
    """`GET /_sandbox/media/{video_id}.mp4?…`, signed; no credentials, as with a real content network."""

    def __init__(self, core: Core) -> None:
        """Serve that sandbox's films."""
        self._core = core

    def routes(self) -> list[Route]:
        """Return the one route."""
        return [Route(_PATH, self._core.requests.counted(_PATH, self._download), methods=["GET", "HEAD"])]

    async def _download(self, request: Request) -> Response:
        core, video_id = self._core, str(request.path_params["video_id"])
        if core.faults.take("download", "connect", {}) is not None:
            return Reset()
        video = core.store.video(video_id)
        ids = self._ids(video_id)
        fault = core.faults.take("download", "before", ids)
        if fault is not None and fault.kind == "expired_url":
            core.store.withdraw_links(video_id)
            video = core.store.video(video_id)
        elif fault is not None:
            return faulty_answer(fault, Response(), core.stopping, server_error=_server_error)
        refusal = self._refusal(video, request)
        if refusal is not None or video is None:
            return refusal or _denied(404, "NoSuchKey")
        content = await core.film(video)
        fault = core.faults.take("download", "after", ids)
        if fault is None:
            return _film(request, content)
        # a cut strikes what was asked for; the others spoil the film as a whole
        film = _film(request, content) if fault.kind == "cut_download" else Response(content, media_type="video/mp4")
        return faulty_answer(fault, film, core.stopping, server_error=_server_error)

    def _refusal(self, video: Video | None, request: Request) -> Response | None:
        now_ms = self._core.clock.now_ms()
        if video is None:
            return _denied(404, "NoSuchKey")
        if self._core.is_public(video):
            return None
        problem = link_problem(video, request.query_params, now_s=now_ms / 1000, key=self._core.store.signing_key)
        if problem is not None:
            return _denied(403, problem)
        if now_ms - video.created_ms >= _KEPT_MS or (video.parent_id is not None and video.created_ms > now_ms):
            return _denied(404, "NoSuchKey")
        return None

    def _ids(self, video_id: str) -> Ids:
        task = self._core.store.task_that_made(video_id)
        if task is not None:
            # the film asked for alone, not its parent
            return {**task_ids(task), "video_id": (video_id,)}
        video = self._core.store.video(video_id)
        return {"video_id": (video_id,)} if video is None else request_ids(video.surface, None, video_id)


def _film(request: Request, content: bytes) -> Response:
    """Return the film, or the rest of it from the byte that is asked for on (RFC 9110, 14.2), as object stores serve
    it."""
    tag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    headers = {"etag": tag, "accept-ranges": "bytes"}
    asked = re.fullmatch(r"bytes=(\d{1,18})-", request.headers.get("range", ""))
    if asked is None or request.headers.get("if-range", tag) != tag:
        return Response(content, media_type="video/mp4", headers=headers)
    start, size = int(asked[1]), len(content)
    if start >= size:
        return Response(b"", 416, headers={**headers, "content-range": f"bytes */{size}"})
    headers["content-range"] = f"bytes {start}-{size - 1}/{size}"
    return Response(content[start:], 206, media_type="video/mp4", headers=headers)


def _denied(status: int, code: str) -> Response:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>{code}</Message></Error>'
    return Response(body, status, media_type="application/xml")


def _server_error(status: int) -> Response:
    return PlainTextResponse("upstream connect error", status)
