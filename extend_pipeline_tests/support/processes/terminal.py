"""Reading the output of a program on a pseudo-terminal."""

from __future__ import annotations

import os


def read_to_end(descriptor: int) -> bytes:
    """Return all that is written to the other side of a pseudo-terminal until it closes, and close this one."""
    output = b""
    while True:
        try:
            piece = os.read(descriptor, 65_536)
        except OSError:  # Linux raises it when the other side has closed
            break
        if not piece:
            break
        output += piece
    os.close(descriptor)
    return output
