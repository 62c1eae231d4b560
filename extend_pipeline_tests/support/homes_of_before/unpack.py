"""Unpack the home of schema 0009 as if it had been written an hour ago, beside the memory of the sandbox that it used.
Imports nothing of the package."""

from __future__ import annotations

import hashlib
import io
import json
import re
import sqlite3
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

PACKED: Final = Path(__file__).with_name("schema_0009.tar.xz")
QUERIES: Final = Path(__file__).with_name("queries.sql")
SIZE: Final[Mapping[str, Any]] = {"width": 64, "height": 64, "fps": 4}  # of the films
SEED: Final = 9

_TIME: Final = re.compile(r"(?<![0-9])1[78][0-9]{11}(?![0-9])")  # milliseconds of UTC
_ADDRESS: Final = "127.0.0.1:28791"  # of the sandbox then; sources of Vidu are called localhost:28791 and stay


def unpack(folder: Path, address: str) -> dict[str, str]:
    """Write `folder`/home and `folder`/sandbox, with the sandbox at `address` (host:port); return what was written as
    text, by path."""
    with tarfile.open(fileobj=io.BytesIO(PACKED.read_bytes()), mode="r:xz") as packed:
        contents = {item.name: packed.extractfile(item).read() for item in packed.getmembers()}  # type: ignore[union-attr]
    binary = (".mp4", ".jpg", ".duckdb")
    texts = {name: content.decode() for name, content in contents.items() if not name.endswith(binary)}
    events = re.findall(r'INSERT INTO "events" VALUES\([0-9]+,([0-9]+),', texts["home/state/ledger.sql"])
    later = int(time.time() * 1000) - 3_600_000 - max(map(int, events))
    for name, text in texts.items():
        moved = _TIME.sub(lambda match: str(int(match[0]) + later), text)
        contents[name] = moved.replace(_ADDRESS, address).encode()
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".sql":
            _restore(path.with_suffix(".sqlite"), content.decode())
        else:
            path.write_bytes(content)
    return texts


def _restore(path: Path, dump: str) -> None:
    database = sqlite3.connect(path)
    database.executescript(dump)
    if path.stem == "ledger":  # what was bought is named by its parent, which for Vidu is an address of the sandbox
        rows = "SELECT attempt_id, parent_video_id, words FROM attempts WHERE parent_video_id LIKE 'http://127.0.0.1:%'"
        for attempt_id, url, words in database.execute(rows).fetchall():
            page, _, query = url.partition("?")
            bought = {"parent": f"{page}?{'&'.join(sorted(query.split('&')))}", "provider": "vidu", "words": words}
            name = hashlib.sha256(json.dumps(bought, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
            database.execute("UPDATE attempts SET purchase = ? WHERE attempt_id = ?", (name, attempt_id))
        database.commit()
    database.close()
