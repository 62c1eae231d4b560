"""How many requests of which kind came and how they were answered, so that a test can count polls and submits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from extend_pipeline.sandbox.faults.responses import answer_label

Endpoint = Callable[[Request], Awaitable[Response]]


class RequestLog:
    """Counts since this server started; a restart begins at nought."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def count(self, method: str, route: str, status: str) -> None:
        """Add one. `status` is the HTTP status, or "reset", "silence", "cut", "slow", "client left"."""
        self._counts[method, route, status] += 1

    def counted(self, route: str, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint, and count its responses before they are sent."""

        async def run(request: Request) -> Response:
            try:
                response = await endpoint(request)
            except ClientDisconnect:
                self.count(request.method, route, "client left")
                raise
            self.count(request.method, route, answer_label(response))
            return response

        return run

    def describe(self) -> dict[str, object]:
        """Return rows by method, route and status, and the sums by "METHOD route"."""
        totals: Counter[str] = Counter()
        for (method, route, _), number in self._counts.items():
            totals[f"{method} {route}"] += number
        rows = [
            {"method": method, "route": route, "status": status, "count": number}
            for (method, route, status), number in sorted(self._counts.items())
        ]
        return {"counts": rows, "by_route": dict(totals), "total": sum(totals.values())}
