"""Read a response body up to a limit, counted after decompression, so that a small response can't expand into a large
one."""

import zlib
from typing import Final

BODY_CAP: Final = 1_000_000  # bytes; a task is under 1,500


class BodyBuffer:
    """The decoded body so far, at most `cap` bytes.

    gzip and deflate are decoded although they are not requested. Any other encoding stays as it is, and the JSON parser
    reports it.
    """

    def __init__(self, *, encoding: str, cap: int = BODY_CAP) -> None:
        self._cap = cap
        self._received = 0
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
        """Add a chunk; return False once the limit is passed or the compressed data is invalid, else True."""
        self._received += len(chunk)
        room = self._cap - len(self._data) + 1
        if self._inflater is None:
            self._data += chunk[:room]
        else:
            try:
                self._data += self._inflater.decompress(chunk, room)
            except zlib.error:
                return False
        if len(self._data) > self._cap or self._received > self._cap:
            del self._data[self._cap :]
            self.truncated = True
        return not self.truncated
