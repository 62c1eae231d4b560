"""Ports of this machine."""

from __future__ import annotations

import random
import socket
from contextlib import suppress
from typing import Final

# Linux takes the ports of outgoing connections from 32768 on. A client of any other program could have such a port
# before a server that starts slowly has bound it.
PORTS: Final = range(20_000, 32_768)


def free_port() -> int:
    """Return a port that no process listens on at the moment. Raises OSError where there is none."""
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("a hundred ports are in use")
