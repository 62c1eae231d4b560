"""Run the sandbox: in this thread until it is stopped, or in a background thread for a test."""

from __future__ import annotations

import errno
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from extend_pipeline.sandbox.app import build_app
from extend_pipeline.sandbox.config import SandboxConfig, SandboxError
from extend_pipeline.sandbox.core import Core
from extend_pipeline.sandbox.faults.wire import ConnectionProtocol
from extend_pipeline.sandbox.handle import SandboxHandle

# A client's pool may idle between rounds; closing under it would look like faults that were not ordered.
_KEEP_ALIVE_S = 120
_GRACE_S = 2
_START_S = 20.0


def check_seeds(config: SandboxConfig) -> None:
    """Plant the seeds of a configuration in a place that is thrown away. Raises SandboxError where one is wrong."""
    with tempfile.TemporaryDirectory(prefix="extend-pipeline-") as folder:
        Core(Path(folder), config).close()


class _Server(uvicorn.Server):
    """uvicorn, which says when it listens and releases held responses before it waits for them."""

    def __init__(self, config: uvicorn.Config, core: Core, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._core, self._on_ready = core, on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._core.stopping.set()
        await super().shutdown(sockets)


def serve(
    *,
    state_dir: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    config: SandboxConfig | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` gets the base URL once requests are accepted.

    SandboxError if the port is taken, the state directory is in use or a seed is wrong. Port 0 takes a free one.
    """
    with _prepared(state_dir, host, port, config or SandboxConfig()) as (core, listener):
        _server(core, lambda: on_ready(core.base_url) if on_ready else None).run(sockets=[listener])


@contextmanager
def running_sandbox(state_dir: Path, config: SandboxConfig | None = None, *, port: int = 0) -> Iterator[SandboxHandle]:
    """Serve from a background thread while the block runs, and stop cleanly after it."""
    with _prepared(state_dir, "127.0.0.1", port, config or SandboxConfig()) as (core, listener):
        ready = threading.Event()
        server = _server(core, ready.set)

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                # also after a failed start, so that no caller waits for it
                ready.set()

        thread = threading.Thread(target=run, name="sandbox", daemon=True)

        def stop() -> None:
            server.should_exit = True
            thread.join()

        thread.start()
        try:
            if not ready.wait(_START_S) or not server.started:
                raise SandboxError(f"the sandbox on {core.base_url} did not start, or not within {_START_S:g} s")
            yield SandboxHandle(core.base_url, stop)
        finally:
            stop()


@contextmanager
def _prepared(state_dir: Path, host: str, port: int, config: SandboxConfig) -> Iterator[tuple[Core, socket.socket]]:
    """Bind the port first, then open the state, so that a second server started by mistake fails at the port."""
    listener = _listen(host, port)
    try:
        core = Core(state_dir, config)
        core.base_url = f"http://{host}:{listener.getsockname()[1]}"
        try:
            yield core, listener
        finally:
            core.close()
    finally:
        listener.close()


def _listen(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only for sockets that say they are TCP; with it, each answer waits 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as problem:
        listener.close()
        if problem.errno == errno.EADDRINUSE:
            message = (
                f"port {port} on {host} is in use by another program. Stop it, or choose another port (0: a free one)."
            )
            raise SandboxError(message) from problem
        raise SandboxError(f"cannot listen on {host}:{port}: {problem}") from problem
    return listener


def _server(core: Core, on_ready: Callable[[], None]) -> _Server:
    config = uvicorn.Config(
        build_app(core),
        http=ConnectionProtocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return _Server(config, core, on_ready)
