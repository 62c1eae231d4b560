"""The minimal script for the same work, with which `extend-pipeline advance` is compared: the HTTP calls, one SQLite
commit for each, and the file writes, without claims, budget, recovery or checks of files.

`python -m benchmarks.bare BASE_URL COUNT FOLDER`
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import jwt

THREADS = 8


def main(base_url: str, count: int, folder: Path) -> None:
    """Extend `count` seeded videos by one hop each."""
    folder.mkdir(parents=True)
    database = sqlite3.connect(folder / "bare.sqlite", check_same_thread=False, isolation_level=None)
    database.executescript(
        "PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=EXTRA; CREATE TABLE steps (video, state, id)"
    )
    lock = threading.Lock()
    now = int(time.time())
    claims = {"iss": "sandbox-access", "exp": now + 1800, "nbf": now - 5}
    token = jwt.encode(claims, "sandbox-secret-of-32-bytes-or-more", algorithm="HS256")

    def commit(video: str, state: str, id_: str) -> None:
        with lock:
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO steps VALUES (?, ?, ?)", (video, state, id_))
            database.execute("COMMIT")

    def extend(number: int) -> None:
        video = str(800000000000000000 + number)
        body = {"video_id": video, "prompt": f"p{number}", "external_task_id": f"bare-{number}"}
        accepted = client.post("/v1/videos/video-extend", json=body).raise_for_status().json()["data"]["task_id"]
        commit(video, "submitted", accepted)
        while True:
            task = client.get(f"/v1/videos/video-extend/{accepted}").raise_for_status().json()["data"]
            if task["task_status"] == "succeed":
                break
        output = task["task_result"]["videos"][0]
        commit(video, "succeeded", output["id"])
        with plain.stream("GET", output["url"]) as response, (folder / f"{output['id']}.mp4").open("wb") as file:
            for chunk in response.raise_for_status().iter_bytes():
                file.write(chunk)
        commit(video, "stored", output["id"])

    with (
        httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as client,
        httpx.Client(trust_env=False) as plain,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        list(pool.map(extend, range(count)))
    database.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
