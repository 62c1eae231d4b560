"""The sandbox's own routes under `/_sandbox`: what a test orders and reads; no real provider has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extend_pipeline.sandbox.config import SandboxError
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.orders import read_fault
from extend_pipeline.sandbox.store.charges import charge_summary, holders
from extend_pipeline.sandbox.store.foreign_tasks import make_foreign_task, read_foreign_task
from extend_pipeline.sandbox.store.records import Task, status_at, units_text


class Control:
    """Health, charges, tasks, requests, callbacks, seeds, tasks of other customers, faults and the clock."""

    def __init__(self, core: Core) -> None:
        """Control that sandbox."""
        self._core = core

    def routes(self) -> list[Route]:
        """Return all control routes; wrong input is 400 with {"error": message}."""
        core = self._core
        reads: dict[str, Callable[[], object]] = {
            "health": lambda: {"status": "ok", "now": core.clock.now_ms(), "now_offset": core.clock.offset},
            "charges": lambda: charge_summary(
                core.store.charges(),
                holders(core.terms, core.store),
                core.clock.now_ms(),
                total_of=next(iter(core.terms)),
            ),
            "tasks": self._tasks,
            "requests": core.requests.describe,
            "callbacks": core.callbacks.describe,
            "faults": lambda: {"faults": core.faults.describe()},
        }
        writes: dict[str, Callable[[object], object]] = {
            "videos": self._seed,
            "foreign_tasks": self._foreign_task,
            "faults": self._order_faults,
            "clock": self._set_clock,
        }
        routes = [Route(f"/_sandbox/{name}", _reader(read), methods=["GET"]) for name, read in reads.items()]
        routes += [Route(f"/_sandbox/{name}", _writer(write), methods=["POST"]) for name, write in writes.items()]
        return [*routes, Route("/_sandbox/faults", _reader(self._clear_faults), methods=["DELETE"])]

    def _tasks(self) -> dict[str, object]:
        now_ms = self._core.clock.now_ms()
        return {"tasks": [_row(task, now_ms) for task in self._core.store.all_tasks()]}

    def _foreign_task(self, given: object) -> dict[str, object]:
        task = make_foreign_task(self._core, read_foreign_task(given))
        return _row(task, self._core.clock.now_ms())

    def _seed(self, given: object) -> dict[str, object]:
        seeds: list[Any] = given if isinstance(given, list) else [given]
        for seed in seeds:
            if not isinstance(seed, dict):
                raise SandboxError(f"a seed must be an object like {{video_id, duration, model, mode}}, got {seed!r}")
        videos = self._core.seed(seeds)
        # A public film's address never changes; a signed one is for those who are given it.
        public = [{"url": self._core.media_url("", video)} if self._core.is_public(video) else {} for video in videos]
        return {"videos": [asdict(video) | more for video, more in zip(videos, public, strict=True)]}

    def _order_faults(self, given: object) -> dict[str, object]:
        orders = given if isinstance(given, list) else [given]
        self._core.faults.add([read_fault(order) for order in orders])
        return {"faults": self._core.faults.describe()}

    def _clear_faults(self) -> dict[str, object]:
        self._core.faults.clear()
        return {"faults": []}

    def _set_clock(self, given: object) -> dict[str, object]:
        offset = given.get("now_offset") if isinstance(given, dict) else None
        if not isinstance(offset, int | float) or isinstance(offset, bool):
            raise SandboxError(f'the clock needs {{"now_offset": seconds}}, got {given!r}')
        self._core.clock.offset = float(offset)
        self._core.callbacks.clock_moved()
        return {"now": self._core.clock.now_ms(), "now_offset": self._core.clock.offset}


def _row(task: Task, now_ms: int) -> dict[str, object]:
    row = asdict(task) | {"status": status_at(task, now_ms)[0], "units": units_text(task.units_milli)}
    del row["units_milli"]
    return row


def _reader(read: Callable[[], object]) -> Callable[[Request], object]:
    async def endpoint(_request: Request) -> Response:
        return JSONResponse(read())

    return endpoint


def _writer(write: Callable[[object], object]) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(write(await request.json()))
        except (SandboxError, ValueError) as problem:
            return JSONResponse({"error": str(problem)}, 400)

    return endpoint
