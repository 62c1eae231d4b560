"""The three routes of Kling's video extension, on top of the shared core."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.kling import bodies, checks
from extend_pipeline.sandbox.kling.auth import authenticate
from extend_pipeline.sandbox.kling.tasks import NAME, TaskMaker, submit_ids
from extend_pipeline.sandbox.store.records import Task
from extend_pipeline.sandbox.surface.errors import Refusal, refusal_response
from extend_pipeline.sandbox.surface.exchange import Json, ProviderSurface, Worked, base_of
from extend_pipeline.sandbox.surface.making import request_ids, resume_callbacks, task_ids

_PATH = "/v1/videos/video-extend"
_LIST_DEFAULTS = {"pageNum": (1, 1000), "pageSize": (30, 500)}


class KlingApi(ProviderSurface[Refusal]):
    """How every route of Kling knows its caller and refuses a request."""

    provider: ClassVar[str] = NAME

    def caller(self, request: Request) -> str | Refusal:
        """Return the account of a token or an API key."""
        header = request.headers.get("authorization")
        account = authenticate(header, self._core.config.accounts, self._core.clock.real_s())
        return account if isinstance(account, Refusal) else account.name

    def by_code(self, code: int) -> Refusal:
        """Return the refusal with that code."""
        return Refusal(code)

    def refused(self, refusal: Refusal) -> Response:
        """Return an error envelope."""
        return refusal_response(refusal)

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend a response's fields."""
        return bodies.alter(payload, kind)


class KlingSurface(KlingApi):
    """Kling, official (docs/upstream/kling.md)."""

    def __init__(self, core: Core) -> None:
        """Take up the callbacks that a former server still owed."""
        super().__init__(core)
        self._tasks = TaskMaker(core)
        resume_callbacks(core, NAME, self._tasks.bodies_of)

    def routes(self) -> list[Route]:
        """Return the routes to create, list and query one."""
        return [
            self.route("POST", _PATH, "submit", self._create, ids_of=lambda _, body: submit_ids(NAME, body)),
            self.route("GET", _PATH, "list", self._read_page),
            self.route(
                "GET",
                f"{_PATH}/{{key:path}}",
                "query",
                self._read_one,
                ids_of=lambda request, _: self.query_ids(key := request.path_params["key"], request_ids(NAME, key)),
                counted_as=f"{_PATH}/{{id}}",
            ),
        ]

    def find(self, account: str, key: str) -> Task | None:
        """Return a task by its id, else by the client's."""
        return self._core.store.task(NAME, account, key)

    def _create(self, request: Request, account: str, body: bytes) -> Worked | Refusal:
        submit = checks.read_submit(request.headers.get("content-type", ""), body)
        task = submit if isinstance(submit, Refusal) else self._tasks.make(account, submit)
        if isinstance(task, Refusal):
            return task
        return Worked(bodies.envelope(bodies.created(task)), task_ids(task))

    def _read_one(self, request: Request, account: str, _body: bytes) -> Worked | Refusal:
        key = request.path_params["key"]
        task = self.find(account, key)
        if task is None:
            return Refusal(1203, f"task not found: {key}")
        return Worked(bodies.envelope(self._bodies(request, [task])[0]), task_ids(task))

    def _read_page(self, request: Request, account: str, _body: bytes) -> Worked | Refusal:
        numbers = {}
        for name, (default, most) in _LIST_DEFAULTS.items():
            text = request.query_params.get(name, str(default))
            if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= most):
                return Refusal(1201, f"{name} must be a whole number in [1, {most}]")
            numbers[name] = int(text)
        size = numbers["pageSize"]
        tasks = self._core.store.page(NAME, account, offset=(numbers["pageNum"] - 1) * size, limit=size)
        return Worked(bodies.envelope(self._bodies(request, tasks)), {})

    def _bodies(self, request: Request, tasks: list[Task]) -> list[Json]:
        core = self._core
        link = partial(core.media_url, base_of(request))
        videos = core.store.videos(ref for task in tasks for ref in (task.parent_video_id, task.video_id))
        now_ms = core.clock.now_ms()
        return [bodies.queried(task, videos, now_ms, link) for task in tasks]
