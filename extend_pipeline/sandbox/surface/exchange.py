"""One request to a surface, with the faults in their places: connect, before, work, alter, after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.book import Ids
from extend_pipeline.sandbox.faults.kinds import REFUSALS, FaultSpec, Place
from extend_pipeline.sandbox.faults.responses import Reset, faulty_answer

Json = dict[str, object]


@dataclass(frozen=True)
class Worked:
    """What a request achieved: the answer's JSON, and the ids that a fault can be matched with.

    `only` names the part of `payload` that is sent, for responses that are no objects.
    """

    payload: Json
    ids: Ids
    status: int = 200
    only: str | None = None


class Words(Protocol):
    """How a surface says things that a fault makes it say. `provider` is its name, for faults to be matched with."""

    provider: str

    def coded(self, code: int) -> Response:
        """Return the surface's error for what that business code means (docs/upstream/kling.md, "Codes")."""

    def server_error(self, status: int) -> Response:
        """Return the surface's 500, 503 or 504."""

    def alter(self, payload: Json, kind: str) -> bool:
        """Change the answer as a fault of the "alter" phase says; False if there was nothing to change."""


async def exchange(
    core: Core,
    request: Request,
    where: Place,
    words: Words,
    *,
    ids_of: Callable[[bytes], Ids],
    work: Callable[[bytes], Worked | Response],
) -> Response:
    """Answer one request. `work` returns a Response where it refuses: a refusal uses up no later fault."""
    caller: Mapping[str, tuple[str, ...]] = {"provider": (words.provider,)}
    if core.faults.take(where, "connect", caller) is not None:
        return Reset()
    body = await request.body()
    fault = core.faults.take(where, "before", ids_of(body))
    if fault is not None:
        if fault.kind in REFUSALS:
            return words.coded(REFUSALS[fault.kind])
        if fault.kind.startswith(("code_", "auth_")):
            return words.coded(int(fault.kind.rpartition("_")[2]))
        return faulty_answer(fault, Response(), core.stopping, server_error=words.server_error)
    worked = work(body)
    if isinstance(worked, Response):
        return worked
    _alter(core, where, words, worked)
    payload = worked.payload if worked.only is None else worked.payload[worked.only]
    answer = JSONResponse(payload, worked.status)
    fault = core.faults.take(where, "after", worked.ids)
    if fault is not None:
        return faulty_answer(fault, answer, core.stopping, server_error=words.server_error)
    return answer


def _alter(core: Core, where: Place, words: Words, worked: Worked) -> None:
    """Several alterations may meet in one answer, but each kind only once."""
    met: set[str] = set()

    def strikes(spec: FaultSpec) -> bool:
        return spec.kind not in met and words.alter(worked.payload, spec.kind)

    while (fault := core.faults.take(where, "alter", worked.ids, strikes=strikes)) is not None:
        met.add(fault.kind)
