"""The three routes of Kling's video extension, on top of the shared core."""

from __future__ import annotations

import json
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extend_pipeline.sandbox.config import SandboxAccount
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.kling import bodies, checks
from extend_pipeline.sandbox.kling.auth import authenticate
from extend_pipeline.sandbox.kling.tasks import NAME, TaskMaker
from extend_pipeline.sandbox.store.records import Task
from extend_pipeline.sandbox.surface.errors import SERVER_ERRORS, Refusal, refusal_response
from extend_pipeline.sandbox.surface.exchange import Json, Worked, exchange
from extend_pipeline.sandbox.surface.making import request_ids, task_ids

_PATH = "/v1/videos/video-extend"
_LIST_DEFAULTS = {"pageNum": (1, 1000), "pageSize": (30, 500)}


class KlingWords:
    """What faults need to know of Kling's way of speaking."""

    provider: str = NAME

    def coded(self, code: int) -> Response:
        """Return an error envelope."""
        return refusal_response(Refusal(code))

    def server_error(self, status: int) -> Response:
        """500 / 5000, 503 / 5001 or 504 / 5002."""
        return refusal_response(Refusal(SERVER_ERRORS[status]))

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend an answer's fields."""
        return bodies.alter(payload, kind)


class KlingSurface:
    """Kling, official (docs/upstream/kling.md)."""

    def __init__(self, core: Core) -> None:
        """Take up the callbacks that a former server still owed."""
        self._core = core
        self._words = KlingWords()
        self._tasks = TaskMaker(core)
        self._tasks.resume_callbacks()

    def routes(self) -> list[Route]:
        """Create, list, query one."""
        counted = self._core.requests.counted
        return [
            Route(_PATH, counted(_PATH, self._submit), methods=["POST"]),
            Route(_PATH, counted(_PATH, self._list), methods=["GET"]),
            Route(f"{_PATH}/{{key:path}}", counted(f"{_PATH}/{{id}}", self._query), methods=["GET"]),
        ]

    async def _submit(self, request: Request) -> Response:
        work = partial(self._create, request)
        return await exchange(self._core, request, "submit", self._words, ids_of=_submit_ids, work=work)

    async def _query(self, request: Request) -> Response:
        key = request.path_params["key"]
        ids_of, work = partial(self._query_ids, key), partial(self._read_one, request, key)
        return await exchange(self._core, request, "query", self._words, ids_of=ids_of, work=work)

    async def _list(self, request: Request) -> Response:
        work = partial(self._read_page, request)
        return await exchange(
            self._core, request, "list", self._words, ids_of=lambda _: request_ids(NAME, None), work=work
        )

    def _account(self, request: Request) -> SandboxAccount | Refusal:
        header = request.headers.get("authorization")
        return authenticate(header, self._core.config.accounts, self._core.clock.real_s())

    def _create(self, request: Request, body: bytes) -> Worked | Response:
        account = self._account(request)
        if isinstance(account, Refusal):
            return refusal_response(account)
        submit = checks.read_submit(request.headers.get("content-type", ""), body)
        if isinstance(submit, Refusal):
            return refusal_response(submit)
        made = self._tasks.make(account.name, submit)
        if isinstance(made, Refusal):
            return refusal_response(made)
        return Worked(bodies.envelope(bodies.created(made)), task_ids(made))

    def _query_ids(self, key: str, _body: bytes) -> Ids:
        for account in self._core.config.accounts:
            task = self._core.store.task(NAME, account.name, key)
            if task is not None:
                return task_ids(task)
        return {**request_ids(NAME, key), "task_id": (key,)}

    def _read_one(self, request: Request, key: str, _body: bytes) -> Worked | Response:
        account = self._account(request)
        if isinstance(account, Refusal):
            return refusal_response(account)
        task = self._core.store.task(NAME, account.name, key)
        if task is None:
            return refusal_response(Refusal(1203, f"task not found: {key}"))
        return Worked(bodies.envelope(self._bodies(request, [task])[0]), task_ids(task))

    def _read_page(self, request: Request, _body: bytes) -> Worked | Response:
        account = self._account(request)
        if isinstance(account, Refusal):
            return refusal_response(account)
        numbers = {}
        for name, (default, most) in _LIST_DEFAULTS.items():
            text = request.query_params.get(name, str(default))
            if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
                return refusal_response(Refusal(1201, f"{name} must be a whole number in [1, {most}]"))
            numbers[name] = int(text)
        size = numbers["pageSize"]
        tasks = self._core.store.page(NAME, account.name, offset=(numbers["pageNum"] - 1) * size, limit=size)
        return Worked(bodies.envelope(self._bodies(request, tasks)), {})

    def _bodies(self, request: Request, tasks: list[Task]) -> list[Json]:
        core = self._core
        link = partial(core.media_url, str(request.base_url).rstrip("/"))
        videos = core.store.videos(ref for task in tasks for ref in (task.parent_video_id, task.video_id))
        now_ms = core.clock.now_ms()
        return [bodies.queried(task, videos, now_ms, link) for task in tasks]


def _submit_ids(body: bytes) -> Ids:
    """Return the ids of a create request that may be no good otherwise."""
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return request_ids(NAME, None)
    return request_ids(NAME, str(given.get("external_task_id")), str(given.get("video_id")))
