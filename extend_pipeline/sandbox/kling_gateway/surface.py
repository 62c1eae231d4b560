"""The two routes of a reseller's Kling: create, and query by task id. No list, no look-up by the client's own id."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.kling.bodies import Link, alter
from extend_pipeline.sandbox.kling.tasks import TaskMaker
from extend_pipeline.sandbox.kling_gateway import bodies, fields
from extend_pipeline.sandbox.kling_gateway.settings import GatewayConfig
from extend_pipeline.sandbox.store.records import Task, Video
from extend_pipeline.sandbox.surface.error_shapes import shaped, shaped_server_error
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json, Worked, exchange
from extend_pipeline.sandbox.surface.keys import account_of
from extend_pipeline.sandbox.surface.making import request_ids, task_ids
from extend_pipeline.sandbox.surface.settings import KeyAccount

NAME = "kling-gateway"
_PATH = "/kling/v1/videos/video-extend"


class GatewayWords:
    """What faults need to know of a reseller's way of speaking."""

    provider: str = NAME

    def __init__(self, config: GatewayConfig) -> None:
        """Speak as that config says."""
        self._shape = config.error_shape

    def coded(self, code: int) -> Response:
        """Return an error body of the configured shape."""
        return shaped(self._shape, Refusal(code))

    def server_error(self, status: int) -> Response:
        """500, 503 or 504."""
        return shaped_server_error(self._shape, status)

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend an answer's fields, as Kling's are bent."""
        return alter(payload, kind)


class GatewaySurface:
    """Kling through a reseller (docs/upstream/kling-gateway.md)."""

    def __init__(self, core: Core) -> None:
        """Take up the callbacks that a former server still owed."""
        self._core, self._config = core, core.config.gateway
        self._words = GatewayWords(self._config)
        self._tasks = TaskMaker(core, NAME, callback_body=self._callback_body)
        self._tasks.resume_callbacks()

    def routes(self) -> list[Route]:
        """Create, query one."""
        counted = self._core.requests.counted
        return [
            Route(_PATH, counted(_PATH, self._submit), methods=["POST"]),
            Route(f"{_PATH}/{{key:path}}", counted(f"{_PATH}/{{id}}", self._query), methods=["GET"]),
        ]

    async def _submit(self, request: Request) -> Response:
        work = partial(self._create, request)
        return await exchange(self._core, request, "submit", self._words, ids_of=_submit_ids, work=work)

    async def _query(self, request: Request) -> Response:
        key = str(request.path_params["key"])
        ids_of, work = partial(self._query_ids, key), partial(self._read_one, request, key)
        return await exchange(self._core, request, "query", self._words, ids_of=ids_of, work=work)

    def _account(self, request: Request) -> KeyAccount | None:
        return account_of(request.headers.get("authorization"), self._config.accounts, raw=False)

    def _create(self, request: Request, body: bytes) -> Worked | Response:
        account = self._account(request)
        if account is None:
            return self._words.coded(1002)
        given = fields.read_submit(request.headers.get("content-type", ""), body, self._config.passes)
        if isinstance(given, Refusal):
            return shaped(self._config.error_shape, given)
        made_by = self._core.store.task_that_made(given.submit.video_id)
        task = fields.refuse_parent(given, made_by) or self._tasks.make(account.name, given.submit)
        if isinstance(task, Refusal):
            return shaped(self._config.error_shape, task)
        return Worked(bodies.created(task, self._config.reserialised), task_ids(task))

    def _query_ids(self, key: str, _body: bytes) -> Ids:
        task = self._find(key, [account.name for account in self._config.accounts])
        return {**request_ids(NAME, None), "task_id": (key,)} if task is None else task_ids(task)

    def _find(self, key: str, accounts: list[str]) -> Task | None:
        find = self._core.store.task if self._config.finds_own_ids else self._core.store.task_with_id
        found = (find(NAME, account, key) for account in accounts)
        return next((task for task in found if task is not None), None)

    def _read_one(self, request: Request, key: str, _body: bytes) -> Worked | Response:
        account = self._account(request)
        if account is None:
            return self._words.coded(1002)
        task = self._find(key, [account.name])
        if task is None:
            return shaped(self._config.error_shape, Refusal(1203, f"task not found: {key}"))
        return Worked(bodies.written(self._body(request, task), self._config.reserialised), task_ids(task))

    def _body(self, request: Request, task: Task) -> Json:
        core = self._core
        link = partial(core.media_url, str(request.base_url).rstrip("/"))
        videos = core.store.videos([task.parent_video_id, task.video_id])
        units = self._origin_units(videos[task.parent_video_id])
        return bodies.queried(task, videos, core.clock.now_ms(), link, origin_units=units)

    def _callback_body(self, task: Task, videos: dict[str, Video], at_ms: int, link: Link) -> Json:
        units = self._origin_units(videos[task.parent_video_id])
        return bodies.called_back(task, videos, at_ms, link, origin_units=units)

    def _origin_units(self, parent: Video) -> Decimal | None:
        """Return what Kling takes from the reseller, where its bodies tell."""
        if not self._config.origin_units:
            return None
        return self._core.config.price_pro if parent.mode == "pro" else self._core.config.price_std


def _submit_ids(body: bytes) -> Ids:
    """Return the ids of a create request that may be no good otherwise."""
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        return request_ids(NAME, None)
    external = given.get("external_task_id")
    return request_ids(NAME, None if external is None else str(external), str(given.get("video_id")))
