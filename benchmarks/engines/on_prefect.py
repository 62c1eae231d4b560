"""The hop as a Prefect flow of four tasks, THREADS hops at a time. `python -m benchmarks.engines.on_prefect WORK`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from prefect import flow, task

from benchmarks.engines.work import THREADS, given_work

WORK = given_work()


@task
def submit_task(video: int) -> str:
    """Submit."""
    return WORK.submit(video)


@task
def poll_task(task_id: str) -> tuple[str, str]:
    """Poll to the end."""
    return WORK.poll(task_id)


@task
def download_task(video: int, url: str) -> str:
    """Download."""
    return WORK.download(video, url)


@task
def record_task(video: int, sha256: str) -> None:
    """Record."""
    WORK.record(video, sha256)


@flow(log_prints=False)
def extend(video: int) -> None:
    """Take one hop."""
    url, _ = poll_task(submit_task(video))
    record_task(video, download_task(video, url))


def main() -> None:
    """Extend every source by one hop."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(extend, range(len(WORK.sources))))


if __name__ == "__main__":
    main()
