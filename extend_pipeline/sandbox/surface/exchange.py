"""Handle a request as every surface does: faults in their places (connect, before, work, alter, after), the caller's
account, and the response."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.faults.kinds import REFUSALS, FaultSpec, Place
from extend_pipeline.sandbox.faults.responses import Reset, faulty_answer
from extend_pipeline.sandbox.store.records import Task
from extend_pipeline.sandbox.surface.errors import SERVER_ERRORS
from extend_pipeline.sandbox.surface.making import request_ids, task_ids

Json = dict[str, object]
RefusalT = TypeVar("RefusalT")


@dataclass(frozen=True)
class Worked:
    """What a request achieved: the answer's JSON, and the ids that a fault can be matched with.

    `only` names the part of `payload` that is sent, for responses that are no objects.
    """

    payload: Json
    ids: Ids
    status: int = 200
    only: str | None = None


class ProviderSurface(ABC, Generic[RefusalT]):
    """The routes of one pretended provider. Hooks say what differs: who calls, how a request is refused, how a fault
    changes a response, and how a task is found."""

    provider: ClassVar[str]

    def __init__(self, core: Core) -> None:
        """Serve that sandbox's accounts of the provider."""
        self._core = core

    @abstractmethod
    def routes(self) -> list[Route]:
        """Return the routes, each made by `route`."""

    @abstractmethod
    def caller(self, request: Request) -> str | RefusalT:
        """Return the name of the account that sends a request, or why it is refused."""

    @abstractmethod
    def by_code(self, code: int) -> RefusalT:
        """Return the refusal that a business code of the origin stands for."""

    @abstractmethod
    def refused(self, refusal: RefusalT) -> Response:
        """Return the response of a refusal."""

    @abstractmethod
    def alter(self, payload: Json, kind: str) -> bool:
        """Change a response as a fault of the "alter" phase says; return False if there was nothing to change."""

    def server_error(self, status: int) -> Response:
        """Return the 500, 503 or 504."""
        return self.refused(self.by_code(SERVER_ERRORS[status]))

    def find(self, account: str, key: str) -> Task | None:
        """Return the account's task that a query names."""
        return self._core.store.task_with_id(self.provider, account, key)

    def query_ids(self, key: str, unknown: Ids) -> Ids:
        """Return what a fault of a query can be matched with; `unknown` where no account has such a task."""
        tasks = (self.find(account, key) for account in self._core.terms[self.provider].accounts)
        return next((task_ids(task) for task in tasks if task is not None), {**unknown, "task_id": (key,)})

    def route(
        self,
        method: str,
        path: str,
        where: Place,
        work: Callable[[Request, str, bytes], Worked | RefusalT],
        *,
        ids_of: Callable[[Request, bytes], Ids] | None = None,
        counted_as: str = "",
    ) -> Route:
        """Return a route on which `work` gets the request, the caller's account and the body. `ids_of` returns what a
        fault can be matched with before the work; `counted_as` is the route's name in the request log."""

        async def endpoint(request: Request) -> Response:
            return await self._exchange(request, where, work, ids_of)

        return Route(path, self._core.requests.counted(counted_as or path, endpoint), methods=[method])

    async def _exchange(
        self,
        request: Request,
        where: Place,
        work: Callable[[Request, str, bytes], Worked | RefusalT],
        ids_of: Callable[[Request, bytes], Ids] | None,
    ) -> Response:
        """Respond to one request. A refusal uses up no later fault."""
        core, known = self._core, request_ids(self.provider, None)
        if core.faults.take(where, "connect", {"provider": known["provider"]}) is not None:
            return Reset()
        body = await request.body()
        fault = core.faults.take(where, "before", known if ids_of is None else ids_of(request, body))
        if fault is not None:
            if fault.kind in REFUSALS:
                return self.refused(self.by_code(REFUSALS[fault.kind]))
            if fault.kind.startswith(("code_", "auth_")):
                return self.refused(self.by_code(int(fault.kind.rpartition("_")[2])))
            return faulty_answer(fault, Response(), core.stopping, server_error=self.server_error)
        account = self.caller(request)
        worked = work(request, account, body) if isinstance(account, str) else account
        if not isinstance(worked, Worked):
            return self.refused(worked)
        self._alter(where, worked)
        payload = worked.payload if worked.only is None else worked.payload[worked.only]
        answer = JSONResponse(payload, worked.status)
        fault = core.faults.take(where, "after", worked.ids)
        if fault is not None:
            return faulty_answer(fault, answer, core.stopping, server_error=self.server_error)
        return answer

    def _alter(self, where: Place, worked: Worked) -> None:
        """Several alterations may meet in one answer, but each kind only once."""
        met: set[str] = set()

        def strikes(spec: FaultSpec) -> bool:
            return spec.kind not in met and self.alter(worked.payload, spec.kind)

        while (fault := self._core.faults.take(where, "alter", worked.ids, strikes=strikes)) is not None:
            met.add(fault.kind)


def base_of(request: Request) -> str:
    """Return the address that a client has called the sandbox by."""
    return str(request.base_url).rstrip("/")
