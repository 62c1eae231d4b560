"""The two routes of a reseller's Kling: create, and query by task id. No list, no look-up by the client's own id."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import ClassVar

from starlette.requests import Request
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.kling.bodies import Link, alter
from extend_pipeline.sandbox.kling.tasks import TaskMaker, submit_ids
from extend_pipeline.sandbox.kling_gateway import bodies, fields
from extend_pipeline.sandbox.store.records import Task, Video
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json, Worked, base_of
from extend_pipeline.sandbox.surface.making import request_ids, resume_callbacks, task_ids
from extend_pipeline.sandbox.surface.reseller import ResellerSurface

NAME = "kling-gateway"
_PATH = "/kling/v1/videos/video-extend"


class GatewaySurface(ResellerSurface):
    """Kling through a reseller (docs/upstream/kling-gateway.md)."""

    provider: ClassVar[str] = NAME

    def __init__(self, core: Core) -> None:
        """Take up the callbacks that a former server still owed."""
        self._config = core.config.gateway
        super().__init__(core, self._config)
        self._tasks = TaskMaker(core, NAME, callback_body=self._callback_body)
        resume_callbacks(core, NAME, self._tasks.bodies_of)

    def routes(self) -> list[Route]:
        """Return the routes to create and to query one."""
        unknown = request_ids(NAME, None)
        return [
            self.route("POST", _PATH, "submit", self._create, ids_of=lambda _, body: submit_ids(NAME, body)),
            self.route(
                "GET",
                f"{_PATH}/{{key:path}}",
                "query",
                self._read_one,
                ids_of=lambda request, _: self.query_ids(request.path_params["key"], unknown),
                counted_as=f"{_PATH}/{{id}}",
            ),
        ]

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend a response's fields, as Kling's are bent."""
        return alter(payload, kind)

    def find(self, account: str, key: str) -> Task | None:
        """Return a task by its id, or by the client's where that is set."""
        find = self._core.store.task if self._config.finds_own_ids else self._core.store.task_with_id
        return find(NAME, account, key)

    def _create(self, request: Request, account: str, body: bytes) -> Worked | Refusal:
        given = fields.read_submit(request.headers.get("content-type", ""), body, self._config.passes)
        if isinstance(given, Refusal):
            return given
        made_by = self._core.store.task_that_made(given.submit.video_id)
        task = fields.refuse_parent(given, made_by) or self._tasks.make(account, given.submit)
        if isinstance(task, Refusal):
            return task
        return Worked(bodies.created(task, self._config.reserialised), task_ids(task))

    def _read_one(self, request: Request, account: str, _body: bytes) -> Worked | Refusal:
        key = request.path_params["key"]
        task = self.find(account, key)
        if task is None:
            return Refusal(1203, f"task not found: {key}")
        return Worked(bodies.written(self._body(request, task), self._config.reserialised), task_ids(task))

    def _body(self, request: Request, task: Task) -> Json:
        core = self._core
        link = partial(core.media_url, base_of(request))
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
