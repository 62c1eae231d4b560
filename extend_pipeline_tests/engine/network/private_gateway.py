"""A chain through a gateway at a private address over http; test_private_gateway.py runs it in a network namespace."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from extend_pipeline.sandbox import SandboxConfig, running_sandbox
from extend_pipeline_tests.support.home.engine_home import KEY_ENVS, EngineHome, drive, sandbox_config
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.servers.company_ca import pump

ADDRESS, PORT, NAME = "10.77.0.1", 3000, "new-api"


def main(folder: Path) -> None:
    """Drive the chain; print its state, hops, charges and result hosts as JSON."""
    really = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        return really(ADDRESS if host == NAME else host, port, *args, **options)

    socket.getaddrinfo = look_up
    provider = "kling-gateway"
    os.environ[KEY_ENVS[provider]] = SandboxConfig().gateway.key
    with (
        running_sandbox(folder / "sandbox", sandbox_config()) as sandbox,
        socket.create_server((ADDRESS, PORT)) as door,
    ):
        threading.Thread(target=_relay, args=(door, urlsplit(sandbox.base_url).port), daemon=True).start()
        path = folder / "home"
        home = EngineHome(path, sandbox, f"sqlite:///{path}/state/ledger.sqlite")
        entry = planted(home, provider, 1, steps=2)
        account = other_account(provider, f"http://{NAME}:{PORT}", allow_local=False, network="private")
        home.write([entry], account)
        with home.open() as pipeline:
            (video,) = drive(pipeline).videos
            from sqlalchemy import select

            from extend_pipeline.ledger import tables

            with pipeline.ledger.read() as connection:
                urls = list(connection.execute(select(tables.attempts.c.url)).scalars())
        charges = len(sandbox.charges()["charges"])
    hosts = sorted({urlsplit(url).netloc for url in urls})
    json.dump({"state": video.state.value, "hops": video.hops_done, "charges": charges, "hosts": hosts}, sys.stdout)


def _relay(door: socket.socket, port: int | None) -> None:
    while True:
        try:
            outer, _ = door.accept()
        except OSError:
            return
        inner = socket.create_connection(("127.0.0.1", port or 0))
        threading.Thread(target=pump, args=(outer, inner), daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
