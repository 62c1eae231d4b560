"""The bare script: extends videos hop by hop with threads.

`python -m benchmarks.bare.extend PROVIDER URL SOURCES HOPS FOLDER [--films]`. SOURCES is a JSON file with a list of
what is extended. With `--films` each new film is opened once: its packets are counted, and its new frames decoded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from benchmarks.bare.providers import Result, headers, query, submit

THREADS = 8


def main() -> None:
    """Extend every source by HOPS hops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("provider")
    parser.add_argument("url")
    parser.add_argument("sources", type=Path)
    parser.add_argument("hops", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    sources: list[str] = json.loads(options.sources.read_text())
    database = open_database(options.folder / "bare.sqlite")
    lock = threading.Lock()

    def commit(video: int, state: str, id_: str) -> None:
        with lock:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO steps VALUES (?, ?, ?)", (video, state, id_))
            database.execute("COMMIT")

    def extend(video: int) -> None:
        source, lasts = sources[video], 0.0
        for hop in range(options.hops):
            task_id = submit(client, options.provider, source, f"bare-{video}-{hop}")
            commit(video, "submitted", task_id)
            while (result := query(client, options.provider, task_id)) is None:
                time.sleep(0.05)
            commit(video, "succeeded", result.source)
            path = options.folder / f"{video}-{hop}.mp4"
            digest = download(plain, result, path)
            if options.films:
                lasts = look_at(path, new_from_s=lasts)
            commit(video, "stored", digest)
            source = result.source

    with (
        httpx.Client(base_url=options.url, headers=headers(options.provider), trust_env=False) as client,
        httpx.Client(trust_env=False) as plain,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        list(pool.map(extend, range(len(sources))))
    database.close()


def open_database(path: Path) -> sqlite3.Connection:
    """Open a new database with the pipeline's own durability."""
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    database.executescript(
        "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=EXTRA; CREATE TABLE steps (video, state, id)"
    )
    return database


def download(client: httpx.Client, result: Result, path: Path) -> str:
    """Stream a result to a file; return its sha256."""
    digest = hashlib.sha256()
    with client.stream("GET", result.url) as response, path.open("wb") as file:
        for chunk in response.raise_for_status().iter_bytes(1 << 20):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def look_at(path: Path, *, new_from_s: float) -> float:
    """Open a film once, count its packets, and decode the frames after `new_from_s`; return its length (s)."""
    import av

    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        stream.thread_count = 1
        ends, key, base = 0.0, [], float(stream.time_base or 0)
        for packet in film.demux(stream):
            if packet.pts is None:
                continue
            ends = max(ends, (packet.pts + (packet.duration or 0)) * base)
            if packet.is_keyframe and packet.pts * base <= new_from_s:
                key.append(packet.pts)
        film.seek(key[-1] if key else 0, stream=stream)
        for frame in film.decode(stream):
            frame.to_ndarray(format="gray")
    return ends


if __name__ == "__main__":
    main()
