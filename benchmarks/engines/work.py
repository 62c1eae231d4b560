"""What the steps of a hop do, whichever engine runs them."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.bare.extend import download, open_database
from benchmarks.bare.providers import Result, query, submit

THREADS = 8


class Work:
    """The work of one run, from the JSON file that the program is given: `url`, `headers`, `sources` and `folder`."""

    def __init__(self, given: dict[str, Any]) -> None:
        self.sources: list[str] = given["sources"]
        self.folder = Path(given["folder"])
        self.folder.mkdir(parents=True)
        self.client = httpx.Client(base_url=given["url"], headers=given["headers"], trust_env=False)
        self._plain = httpx.Client(trust_env=False)
        self._database: sqlite3.Connection = open_database(self.folder / "work.sqlite")
        self._lock = threading.Lock()

    def submit(self, video: int) -> str:
        """Submit a video; return the task's id."""
        return submit(self.client, "kling", self.sources[video], f"engine-{video}")

    def poll(self, task_id: str) -> tuple[str, str]:
        """Wait for a task; return its result's URL and id."""
        while (result := query(self.client, "kling", task_id)) is None:
            time.sleep(0.05)
        return result.url, result.source

    def download(self, video: int, url: str) -> str:
        """Fetch a film; return its sha256."""
        return download(self._plain, Result(url, ""), self.folder / f"{video}.mp4")

    def record(self, video: int, sha256: str) -> None:
        """Write the result down."""
        with self._lock:
            self._database.execute("INSERT INTO steps VALUES (?, ?, ?)", (video, "stored", sha256))


def given_work() -> Work:
    """Return the work that the command line names."""
    return Work(json.loads(Path(sys.argv[1]).read_text()))
