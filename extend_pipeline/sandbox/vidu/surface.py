"""The two routes of Vidu through ModelVerse: submit and status."""

from __future__ import annotations

import json
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.surface.exchange import Json, ProviderSurface, Worked, base_of
from extend_pipeline.sandbox.surface.making import request_ids, task_ids
from extend_pipeline.sandbox.surface.reseller import name_of
from extend_pipeline.sandbox.vidu import bodies, checks
from extend_pipeline.sandbox.vidu.errors import Refusal, by_code, param_error, refusal_response
from extend_pipeline.sandbox.vidu.sources import source_of
from extend_pipeline.sandbox.vidu.tasks import NAME, make

_SUBMIT, _STATUS = "/v1/tasks/submit", "/v1/tasks/status"


class ViduSurface(ProviderSurface[Refusal]):
    """Vidu through ModelVerse (docs/upstream/vidu.md)."""

    provider: ClassVar[str] = NAME

    def routes(self) -> list[Route]:
        """Return the routes to submit and to query one."""
        unknown = request_ids(NAME, None)
        return [
            self.route("POST", _SUBMIT, "submit", self._create, ids_of=self._submit_ids),
            self.route(
                "GET", _STATUS, "query", self._read_one, ids_of=lambda request, _: self.query_ids(_id(request), unknown)
            ),
        ]

    def caller(self, request: Request) -> str | Refusal:
        """Return the account of a key, which may also come without Bearer."""
        return name_of(request, self._core.config.vidu.accounts, raw=True) or by_code(1002)

    def by_code(self, code: int) -> Refusal:
        """Return the refusal in ModelVerse's words."""
        return by_code(code)

    def refused(self, refusal: Refusal) -> Response:
        """Return an error envelope."""
        return refusal_response(refusal)

    def server_error(self, status: int) -> Response:
        """Return the 500, 503 or 504."""
        if status == 504:
            return refusal_response(Refusal("timeout", "the request took too long"))
        return refusal_response(Refusal("server_error", "internal error"), status)

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend a response's fields."""
        return bodies.alter(payload, kind)

    def _create(self, request: Request, account: str, body: bytes) -> Worked | Refusal:
        submit = checks.read_submit(request.headers.get("content-type", ""), body)
        task = submit if isinstance(submit, Refusal) else make(self._core, account, submit, base_of(request))
        return task if isinstance(task, Refusal) else Worked(bodies.submitted(task), task_ids(task))

    def _submit_ids(self, request: Request, body: bytes) -> Ids:
        """Return the ids of a submit, which names its source by URL; a fault may name the URL or the film behind it."""
        try:
            url = json.loads(body)["input"]["video_url"]
        except (ValueError, KeyError, TypeError):
            return request_ids(NAME, None)
        source = source_of(self._core, str(url), base_of(request))
        return request_ids(NAME, None, str(url), None if isinstance(source, Refusal) else source.video_id)

    def _read_one(self, request: Request, account: str, _body: bytes) -> Worked | Refusal:
        core, key = self._core, _id(request)
        task = self.find(account, key)
        if task is None:
            return param_error(f"task not found: {key}")
        video = None if task.video_id is None else core.store.video(task.video_id)
        url = None if video is None else core.media_url(base_of(request), video)
        return Worked(bodies.status(task, core.clock.now_ms(), url), task_ids(task))


def _id(request: Request) -> str:
    return request.query_params.get("task_id", "")
