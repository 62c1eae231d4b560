"""Collects an answer's body up to a cap, counted after decompression, so that a small answer can't become a large
one."""

from __future__ import annotations

import zlib
from typing import Final

BODY_CAP: Final = 1_000_000  # bytes; a whole envelope of 001 is under 1,500


class BodyBuffer:
    """Feed it chunks as they come. `data` is what was understood so far, at most `cap` bytes.

    gzip and deflate are undone although they were not asked for. Any other encoding is kept as it came: it will not
    read as JSON, which says what there is to say.
    """

    def __init__(self, *, encoding: str, cap: int = BODY_CAP) -> None:
        self._cap = cap
        self._taken = 0
        self._data = bytearray()
        self.truncated = False
        self._inflater: zlib._Decompress | None = None
        match encoding.strip().lower():
            case "gzip" | "x-gzip":
                self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            case "deflate":
                self._inflater = zlib.decompressobj()
            case _:
                pass

    @property
    def data(self) -> bytes:
        """Return the body so far."""
        return bytes(self._data)

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk; answers whether more is wanted. False once the cap is passed or the compression is broken."""
        self._taken += len(chunk)
        room = self._cap - len(self._data) + 1
        if self._inflater is None:
            self._data += chunk[:room]
        else:
            try:
                self._data += self._inflater.decompress(chunk, room)
            except zlib.error:
                return False
        if len(self._data) > self._cap or self._taken > self._cap:
            del self._data[self._cap :]
            self.truncated = True
        return not self.truncated
