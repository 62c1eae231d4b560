"""The bare script that polls: reads an account's list page by page, and writes the state of each task.

`python -m benchmarks.bare.poll URL PAGES FOLDER`. A page has 500 tasks, and a commit of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx

from benchmarks.bare.extend import open_database
from benchmarks.bare.providers import headers

PAGE = 500


def main() -> None:
    """Read PAGES pages."""
    url, pages, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    folder.mkdir(parents=True)
    database = open_database(folder / "bare.sqlite")
    with httpx.Client(base_url=url, headers=headers("kling"), trust_env=False) as client:
        for page in range(1, pages + 1):
            asked = {"pageNum": page, "pageSize": PAGE}
            tasks = client.get("/v1/videos/video-extend", params=asked).raise_for_status().json()["data"]
            database.execute("BEGIN IMMEDIATE")
            rows = [("", task["task_status"], task["task_id"]) for task in tasks]
            database.executemany("INSERT INTO steps VALUES (?, ?, ?)", rows)
            database.execute("COMMIT")
    database.close()


if __name__ == "__main__":
    main()
