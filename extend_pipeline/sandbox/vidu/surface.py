"""The two routes of Vidu through ModelVerse: submit and status."""

from __future__ import annotations

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.store.records import Task
from extend_pipeline.sandbox.surface.exchange import Json, Worked, exchange
from extend_pipeline.sandbox.surface.keys import account_of
from extend_pipeline.sandbox.surface.making import request_ids, task_ids
from extend_pipeline.sandbox.surface.settings import KeyAccount
from extend_pipeline.sandbox.vidu import bodies, checks
from extend_pipeline.sandbox.vidu.errors import Refusal, by_code, param_error, refusal_response
from extend_pipeline.sandbox.vidu.sources import source_of
from extend_pipeline.sandbox.vidu.tasks import NAME, make

_SUBMIT, _STATUS = "/v1/tasks/submit", "/v1/tasks/status"


class ViduWords:
    """What faults need to know of ModelVerse's way of speaking."""

    provider: str = NAME

    def coded(self, code: int) -> Response:
        """Return an error envelope."""
        return refusal_response(by_code(code))

    def server_error(self, status: int) -> Response:
        """500, 503 or 504."""
        if status == 504:
            return refusal_response(Refusal("timeout", "the request took too long"))
        return refusal_response(Refusal("server_error", "internal error"), status)

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend an answer's fields."""
        return bodies.alter(payload, kind)


class ViduSurface:
    """Vidu through ModelVerse (docs/upstream/vidu.md)."""

    def __init__(self, core: Core) -> None:
        """Serve that sandbox's Vidu accounts."""
        self._core = core
        self._words = ViduWords()

    def routes(self) -> list[Route]:
        """Submit, status."""
        counted = self._core.requests.counted
        return [
            Route(_SUBMIT, counted(_SUBMIT, self._submit), methods=["POST"]),
            Route(_STATUS, counted(_STATUS, self._query), methods=["GET"]),
        ]

    async def _submit(self, request: Request) -> Response:
        def work(body: bytes) -> Worked | Response:
            return self._create(request, body)

        def ids_of(body: bytes) -> Ids:
            return self._submit_ids(request, body)

        return await exchange(self._core, request, "submit", self._words, ids_of=ids_of, work=work)

    async def _query(self, request: Request) -> Response:
        def work(_body: bytes) -> Worked | Response:
            return self._read_one(request)

        def ids_of(_body: bytes) -> Ids:
            key = request.query_params.get("task_id", "")
            task = self._find(key, [account.name for account in self._core.config.vidu.accounts])
            return {**request_ids(NAME, None), "task_id": (key,)} if task is None else task_ids(task)

        return await exchange(self._core, request, "query", self._words, ids_of=ids_of, work=work)

    def _account(self, request: Request) -> KeyAccount | None:
        return account_of(request.headers.get("authorization"), self._core.config.vidu.accounts, raw=True)

    def _create(self, request: Request, body: bytes) -> Worked | Response:
        account = self._account(request)
        if account is None:
            return self._words.coded(1002)
        submit = checks.read_submit(request.headers.get("content-type", ""), body)
        if isinstance(submit, Refusal):
            return refusal_response(submit)
        task = make(self._core, account.name, submit, _base(request))
        if isinstance(task, Refusal):
            return refusal_response(task)
        return Worked(bodies.submitted(task), task_ids(task))

    def _submit_ids(self, request: Request, body: bytes) -> Ids:
        """Return a submit names its source by URL; a fault may name the URL or the film behind it."""
        try:
            url = json.loads(body)["input"]["video_url"]
        except (ValueError, KeyError, TypeError):
            return request_ids(NAME, None)
        source = source_of(self._core, str(url), _base(request))
        return request_ids(NAME, None, str(url), None if isinstance(source, Refusal) else source.video_id)

    def _read_one(self, request: Request) -> Worked | Response:
        account, key = self._account(request), request.query_params.get("task_id", "")
        if account is None:
            return self._words.coded(1002)
        task = self._find(key, [account.name])
        if task is None:
            return refusal_response(param_error(f"task not found: {key}"))
        core = self._core
        video = None if task.video_id is None else core.store.video(task.video_id)
        url = None if video is None else core.media_url(_base(request), video)
        return Worked(bodies.status(task, core.clock.now_ms(), url), task_ids(task))

    def _find(self, key: str, accounts: list[str]) -> Task | None:
        found = (self._core.store.task_with_id(NAME, account, key) for account in accounts)
        return next((task for task in found if task is not None), None)


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")
