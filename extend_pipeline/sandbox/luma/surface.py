"""The three routes of Luma through a reseller: extend, query one, query several."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.luma import bodies, checks
from extend_pipeline.sandbox.luma.settings import LumaConfig
from extend_pipeline.sandbox.luma.tasks import NAME, Generations
from extend_pipeline.sandbox.surface.error_shapes import shaped, shaped_server_error
from extend_pipeline.sandbox.surface.errors import Refusal
from extend_pipeline.sandbox.surface.exchange import Json, Worked, exchange
from extend_pipeline.sandbox.surface.keys import account_of
from extend_pipeline.sandbox.surface.making import request_ids, task_ids
from extend_pipeline.sandbox.surface.settings import KeyAccount

_ONE, _SEVERAL = "/luma/generations/{id}", "/luma/tasks"


class LumaWords:
    """What faults need to know of a reseller's way of speaking."""

    provider: str = NAME

    def __init__(self, config: LumaConfig) -> None:
        """Speak as that config says."""
        self._shape = config.error_shape

    def coded(self, code: int) -> Response:
        """Return an error body of the configured shape."""
        return shaped(self._shape, Refusal(code))

    def server_error(self, status: int) -> Response:
        """500, 503 or 504."""
        return shaped_server_error(self._shape, status)

    def alter(self, payload: Json, kind: str) -> bool:
        """Bend an answer's fields."""
        return bodies.alter(payload, kind)


class LumaSurface:
    """Luma through a reseller (docs/upstream/luma.md)."""

    def __init__(self, core: Core) -> None:
        """Take up the callbacks that a former server still owed."""
        self._core, self._config = core, core.config.luma
        self._words = LumaWords(self._config)
        self._generations = Generations(core)
        self._generations.resume_callbacks()

    def routes(self) -> list[Route]:
        """Extend, query one, query several."""
        counted, extend = self._core.requests.counted, f"{_ONE}/extend"
        return [
            Route(extend, counted(extend, self._submit), methods=["POST"]),
            Route(_ONE, counted(_ONE, self._query), methods=["GET"]),
            Route(_SEVERAL, counted(_SEVERAL, self._list), methods=["POST"]),
        ]

    async def _submit(self, request: Request) -> Response:
        key = str(request.path_params["id"])
        work = partial(self._create, request, key)
        return await exchange(
            self._core, request, "submit", self._words, ids_of=lambda _: request_ids(NAME, None, key), work=work
        )

    async def _query(self, request: Request) -> Response:
        key = str(request.path_params["id"])
        work = partial(self._read_one, request, key)
        return await exchange(self._core, request, "query", self._words, ids_of=lambda _: self._ids(key), work=work)

    async def _list(self, request: Request) -> Response:
        """Faults call it a list: it is what saves one query a generation."""
        work = partial(self._read_several, request)
        return await exchange(
            self._core, request, "list", self._words, ids_of=lambda _: request_ids(NAME, None), work=work
        )

    def _account(self, request: Request) -> KeyAccount | None:
        return account_of(request.headers.get("authorization"), self._config.accounts, raw=False)

    def _create(self, request: Request, parent_id: str, body: bytes) -> Worked | Response:
        account = self._account(request)
        if account is None:
            return self._words.coded(1002)
        submit = checks.read_submit(request.headers.get("content-type", ""), body)
        if isinstance(submit, Refusal):
            return shaped(self._config.error_shape, submit)
        task = self._generations.extend(account.name, parent_id, submit)
        if isinstance(task, Refusal):
            return shaped(self._config.error_shape, task)
        # The prompt is empty in the document's example (docs/upstream/luma.md, "Submit").
        payload = bodies.generation(task.task_id, "pending", created_ms=task.created_ms)
        return Worked(payload, task_ids(task), status=self._config.submit_status)

    def _read_one(self, request: Request, key: str, _body: bytes) -> Worked | Response:
        account = self._account(request)
        if account is None:
            return self._words.coded(1002)
        payload = self._generations.body(account.name, key, _base(request))
        if payload is None:
            return shaped(self._config.error_shape, Refusal(1203, f"generation not found: {key}"))
        return Worked(payload, self._ids(key))

    def _read_several(self, request: Request, body: bytes) -> Worked | Response:
        """Return those of the ids that are known, in the order asked for."""
        account, ids = self._account(request), checks.read_ids(body)
        if account is None:
            return self._words.coded(1002)
        if isinstance(ids, Refusal):
            return shaped(self._config.error_shape, ids)
        found = [self._generations.body(account.name, key, _base(request)) for key in dict.fromkeys(ids)]
        payload: Json = {"data": [item for item in found if item is not None]}
        return Worked(payload, request_ids(NAME, None), only="data")

    def _ids(self, key: str) -> Ids:
        for account in self._config.accounts:
            task = self._core.store.task_with_id(NAME, account.name, key)
            if task is not None:
                return task_ids(task)
        return {**request_ids(NAME, None, key), "task_id": (key,)}


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")
