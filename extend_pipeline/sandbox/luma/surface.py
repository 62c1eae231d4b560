"""The three routes of Luma through a reseller: extend, query one, query several."""

from __future__ import annotations

from typing import ClassVar

from starlette.requests import Request
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.luma import bodies, checks
from extend_pipeline.sandbox.luma.tasks import NAME, Generations
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json, Worked, base_of
from extend_pipeline.sandbox.surface.making import request_ids, resume_callbacks, task_ids
from extend_pipeline.sandbox.surface.reseller import ResellerSurface

_ONE, _SEVERAL = "/luma/generations/{id}", "/luma/tasks"


class LumaSurface(ResellerSurface):
    """Luma through a reseller (docs/upstream/luma.md)."""

    provider: ClassVar[str] = NAME

    def __init__(self, core: Core) -> None:
        """Take up the callbacks that a former server still owed."""
        super().__init__(core, core.config.luma)
        self._generations = Generations(core)
        resume_callbacks(core, NAME, self._generations.bodies_of)

    def routes(self) -> list[Route]:
        """Return the routes to extend, query one and query several. Faults call the last a list: it is what saves one
        query a generation."""
        return [
            self.route("POST", f"{_ONE}/extend", "submit", self._create, ids_of=_submit_ids),
            self.route("GET", _ONE, "query", self._read_one, ids_of=lambda request, _: self._ids(_id(request))),
            self.route("POST", _SEVERAL, "list", self._read_several),
        ]

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend a response's fields."""
        return bodies.alter(payload, kind)

    def _create(self, request: Request, account: str, body: bytes) -> Worked | Refusal:
        submit = checks.read_submit(request.headers.get("content-type", ""), body)
        task = submit if isinstance(submit, Refusal) else self._generations.extend(account, _id(request), submit)
        if isinstance(task, Refusal):
            return task
        return Worked(bodies.created(task), task_ids(task), status=self._core.config.luma.submit_status)

    def _read_one(self, request: Request, account: str, _body: bytes) -> Worked | Refusal:
        key = _id(request)
        payload = self._generations.body(account, key, base_of(request))
        return Refusal(1203, f"generation not found: {key}") if payload is None else Worked(payload, self._ids(key))

    def _read_several(self, request: Request, account: str, body: bytes) -> Worked | Refusal:
        """Return those of the ids that are known, in the order asked for."""
        ids = checks.read_ids(body)
        if isinstance(ids, Refusal):
            return ids
        known = [self._generations.body(account, key, base_of(request)) for key in dict.fromkeys(ids)]
        payload: Json = {"data": [item for item in known if item is not None]}
        return Worked(payload, request_ids(NAME, None), only="data")

    def _ids(self, key: str) -> Ids:
        return self.query_ids(key, request_ids(NAME, None, key))


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _submit_ids(request: Request, _body: bytes) -> Ids:
    return request_ids(NAME, None, _id(request))
