"""A running sandbox as a test holds it: its address and the control routes as plain calls."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

from extend_pipeline.sandbox.config import SandboxError


class SandboxHandle:
    """The control routes of the sandbox at `base_url`; works for one in another process too."""

    def __init__(self, base_url: str, stop: Callable[[], None] | None = None) -> None:
        """`stop` ends the server, where the holder is the one who may."""
        self.base_url = base_url
        self._stop = stop

    def charges(self) -> dict[str, Any]:
        """Return the charge book: `charges`, `total_units` (of the first surface), `by_account`, `by_external_task_id`,
        `double`."""
        return self._object("GET", "charges")

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task of all surfaces (`surface`), oldest first, with its `status` now in one set of words."""
        return list(self._object("GET", "tasks")["tasks"])

    def foreign_task(self, **fields: Any) -> dict[str, Any]:
        """Return a finished task that another customer paid for: {provider?, account?, video_id?, external_task_id?,
        prompt?, age? (s)}; the row that `tasks` has of it. It shows in queries, lists and bills as any other.

        The source is a new one unless `video_id` names it. What it costs can be changed by ordering `odd_deduction`.
        """
        return self._object("POST", "foreign_tasks", fields)

    def requests(self) -> dict[str, Any]:
        """Request counts: `counts` (method, route, status, count), `by_route`, `total`."""
        return self._object("GET", "requests")

    def callbacks(self) -> dict[str, int]:
        """Callbacks `delivered`, `failed`, `dropped` (the queue was full), `withheld` (by order), `waiting`."""
        return self._object("GET", "callbacks")

    def seed(self, videos: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Plant source videos: {video_id, duration (s), model?, mode?, created_at?, account?, provider?, video_url?}.

        `provider` is the first surface's by default. Rows that lie in public have the `url` that they are
        served at.
        """
        return list(self._object("POST", "videos", list(videos))["videos"])

    def source_url(self, video_id: str) -> str:
        """Return where the sandbox serves a film that was seeded in public: the `video_url` to extend."""
        return f"{self.base_url}/_sandbox/media/{urllib.parse.quote(video_id, safe='')}.mp4"

    def faults(self, orders: Sequence[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
        """Order faults, if any are given; all orders so far, with `fired` and `remaining`.

        An order is {kind, where?, times?, skip?, match?, code?, hold?, after?, variant?, location?, units?}, explained
        at `faults.FaultSpec`.
        """
        given = self._object("GET", "faults") if orders is None else self._object("POST", "faults", list(orders))
        return list(given["faults"])

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._object("DELETE", "faults")

    def set_offset(self, seconds: float) -> None:
        """Shift the sandbox's clock to so many seconds after the real one."""
        self._object("POST", "clock", {"now_offset": seconds})

    def stop(self) -> None:
        """End the server; nothing happens if it has ended."""
        if self._stop is None:
            raise SandboxError(f"the sandbox at {self.base_url} was not started by this handle")
        self._stop()

    def _object(self, method: str, name: str, body: object = None) -> dict[str, Any]:
        # Always the sandbox's own http address, never one that a test chose.
        request = urllib.request.Request(  # noqa: S310
            f"{self.base_url}/_sandbox/{name}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        # A proxy of the environment must not come between a test and its own machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as problem:
            with problem:
                message = problem.read().decode(errors="replace")
            raise SandboxError(f"{method} /_sandbox/{name} answered {problem.code}: {message}") from None
