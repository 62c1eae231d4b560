"""The hop as a DBOS workflow of four steps, THREADS hops at a time, with its state in SQLite.

`python -m benchmarks.engines.on_dbos WORK`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from dbos import DBOS

from benchmarks.engines.work import THREADS, given_work

WORK = given_work()


@DBOS.step()
def submit_step(video: int) -> str:
    """Submit."""
    return WORK.submit(video)


@DBOS.step()
def poll_step(task_id: str) -> tuple[str, str]:
    """Poll to the end."""
    return WORK.poll(task_id)


@DBOS.step()
def download_step(video: int, url: str) -> str:
    """Download."""
    return WORK.download(video, url)


@DBOS.step()
def record_step(video: int, sha256: str) -> None:
    """Record."""
    WORK.record(video, sha256)


@DBOS.workflow()
def extend(video: int) -> None:
    """Take one hop."""
    url, _ = poll_step(submit_step(video))
    record_step(video, download_step(video, url))


def main() -> None:
    """Extend every source by one hop."""
    url = f"sqlite:///{WORK.folder}/dbos.sqlite"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "WARNING"})
    DBOS.launch()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(extend, range(len(WORK.sources))))
    DBOS.destroy()


if __name__ == "__main__":
    main()
