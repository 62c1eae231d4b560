"""Build responses that go wrong: each fault does its harm when its response is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from starlette.responses import HTMLResponse, Response
from starlette.types import Receive, Scope, Send

from extend_pipeline.sandbox.faults import wire
from extend_pipeline.sandbox.faults.kinds import FaultSpec

_HTML = (
    "<!DOCTYPE html><html><head><title>{title}</title></head>"
    "<body><center><h1>{title}</h1></center><hr><center>gateway</center></body></html>"
)


class Reset(Response):
    """No answer: the connection is reset."""

    label = "reset"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        await wire.reset(scope, receive)


class Silence(Response):
    """No answer for `seconds`, then the connection is closed."""

    label = "silence"

    def __init__(self, seconds: float, stopping: asyncio.Event) -> None:
        super().__init__()
        self._seconds, self._stopping = seconds, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        await wire.hold(scope, receive, self._seconds, self._stopping)


class Redirect(Response):
    """A redirect to `location`, or to the very address that was asked for: a client that follows a 307 sends again."""

    def __init__(self, status: int, location: str) -> None:
        super().__init__(status_code=status)
        self._location = location

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode("latin-1")
        own = scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        self.headers["location"] = self._location or own
        await super().__call__(scope, receive, send)


class Cut(Response):
    """A right answer that ends in the middle of its body, though Content-Length promises all of it."""

    label = "cut"

    def __init__(self, whole: Response) -> None:
        super().__init__()
        self._whole = whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytes(self._whole.body)
        await wire.send_start(send, self._whole.status_code, self._whole.raw_headers, body[: len(body) // 2])
        await wire.close(scope, receive)


class SlowHead(Response):
    """A right answer whose header takes `seconds` to arrive, a byte at a time."""

    label = "slow"

    def __init__(self, whole: Response, seconds: float, stopping: asyncio.Event) -> None:
        super().__init__()
        self._whole, self._seconds, self._stopping = whole, seconds, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI signature
        status = HTTPStatus(self._whole.status_code)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        lines += [name + b": " + value for name, value in self._whole.raw_headers]
        head = b"\r\n".join([*lines, b"connection: close", b"", b""])
        if await wire.dribble(scope, receive, head, self._seconds, self._stopping):
            await wire.send_raw(scope, receive, bytes(self._whole.body))


def faulty_answer(
    fault: FaultSpec, whole: Response, stopping: asyncio.Event, *, server_error: Callable[[int], Response]
) -> Response:
    """Return what is sent instead of `whole`. `server_error` writes a 5xx in the surface's own words."""
    match fault.kind:
        case "refuse" | "reset_before" | "reset_after":
            return Reset()
        case "timeout_before" | "timeout_after":
            return Silence(fault.hold, stopping)
        case "5xx_before" | "5xx_after":
            return server_error(fault.code)
        case "html" | "html_download":
            title = f"{fault.code} {HTTPStatus(fault.code).phrase}"
            return HTMLResponse(_HTML.format(title=title), fault.code)
        case "not_json":
            return Response('{"code":0,"message":"SUCCEED","data":{"task_id":', media_type="application/json")
        case "empty_body":
            return Response(b"", media_type="application/json")
        case "cut_body" | "cut_download":
            return Cut(whole)
        case "two_documents":
            body = bytes(whole.body) + b'\n{"error":{"message":"upstream closed the stream","type":"server_error"}}'
            return Response(body, whole.status_code, media_type="application/json")
        case "slow_headers":
            return SlowHead(whole, fault.hold, stopping)
        case "redirect":
            return Redirect(fault.code, fault.location)
        case "broken_file":
            return Response(broken(bytes(whole.body), fault.variant), media_type="video/mp4")
        case _:
            raise ValueError(f"{fault.kind} is no fault of the answer as a whole")


def broken(film: bytes, variant: str) -> bytes:
    """Spoil an mp4: "cut" keeps 70 % of it, "moov" inverts the bytes of its index."""
    if variant == "cut":
        return film[: len(film) * 7 // 10]
    at = film.index(b"moov") + 4
    end = at - 8 + int.from_bytes(film[at - 8 : at - 4], "big")
    return film[:at] + bytes(byte ^ 0xFF for byte in film[at:end]) + film[end:]


def answer_label(response: Response) -> str:
    """Return how the request log calls an answer: its status, or what was done instead of answering."""
    label = getattr(response, "label", None)
    return label if isinstance(label, str) else str(response.status_code)
