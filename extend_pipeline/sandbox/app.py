"""The application: one core, the surfaces on top of it, downloads, and the control routes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from extend_pipeline.sandbox.control import Control
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.surface.downloads import Downloads
from extend_pipeline.sandbox.surface.errors import Refusal, refusal_response


def build_app(core: Core) -> Starlette:
    """Assemble the routes; the core is closed when the server ends."""

    async def no_such_route(request: Request, problem: Exception) -> Response:
        core.requests.count(request.method, "(unknown)", str(getattr(problem, "status_code", 404)))
        return refusal_response(Refusal(1202))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            core.close()

    surfaces = [make(core) for surface in core.surfaces.values() for make in surface.parts]
    parts = (*surfaces, Downloads(core), Control(core))
    return Starlette(
        routes=[route for part in parts for route in part.routes()],
        exception_handlers={404: no_such_route, 405: no_such_route, HTTPException: no_such_route},
        lifespan=lifespan,
    )
