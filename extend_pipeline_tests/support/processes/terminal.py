"""What a program shows on a pseudo-terminal."""

from __future__ import annotations

import os


def read_to_end(descriptor: int) -> bytes:
    """Return all that is written to the other side of a pseudo-terminal until it closes, and close this one."""
    shown = b""
    while True:
        try:
            piece = os.read(descriptor, 65_536)
        except OSError:  # how Linux says that the other side has closed
            break
        if not piece:
            break
        shown += piece
    os.close(descriptor)
    return shown
