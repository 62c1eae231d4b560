"""Under HTTP: how an answer gets hold of its connection, so that it can be reset, cut or dribbled."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

_TRANSPORT = "sandbox.transport"


class ConnectionProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which also tells the application the transport that a request came over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        inner = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope[_TRANSPORT] = self.transport
            await inner(scope, receive, send)

        self.app = with_transport


def _transport(scope: Scope) -> asyncio.Transport:
    return cast(asyncio.Transport, scope[_TRANSPORT])


async def gone(receive: Receive) -> None:
    """Wait until the connection is closed, from either side."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def reset(scope: Scope, receive: Receive) -> None:
    """Drop the connection with RST, so that the client sees "connection reset by peer"."""
    transport = _transport(scope)
    # Lingering for 0 s makes close() discard what is queued and send RST instead of FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await gone(receive)


async def close(scope: Scope, receive: Receive) -> None:
    """Send what is queued and close; what was promised and not sent stays unsent."""
    _transport(scope).close()
    await gone(receive)


async def hold(scope: Scope, receive: Receive, seconds: float, stopping: asyncio.Event) -> None:
    """Say nothing for that long, or until the client leaves or the server stops; then close."""
    left = asyncio.ensure_future(gone(receive))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({left, stop}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        _transport(scope).abort()
        await left


async def dribble(scope: Scope, receive: Receive, head: bytes, seconds: float, stopping: asyncio.Event) -> bool:
    """Send `head` byte by byte over that many seconds; False if the client left or the server stops meanwhile."""
    transport = _transport(scope)
    for byte in head:
        transport.write(bytes([byte]))
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), timeout=seconds / len(head))
        if stopping.is_set() or transport.is_closing():
            await close(scope, receive)
            return False
    return True


async def send_raw(scope: Scope, receive: Receive, data: bytes) -> None:
    """Write bytes past HTTP's bookkeeping and close."""
    _transport(scope).write(data)
    await close(scope, receive)


async def send_start(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send a head and the first part of a body that will never be finished."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
