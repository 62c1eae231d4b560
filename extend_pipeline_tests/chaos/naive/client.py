"""A client as public ones are: POST, then write down; one more try after any error; poll; download. It has its own
table and no claims, keys or states. Its six processes never work on the same video, so that every double charge
comes from the faults alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extend_pipeline.sandbox import SandboxConfig
from extend_pipeline_tests.chaos.homes import CAPPED
from extend_pipeline_tests.chaos.processes.workers import WORKERS, Orders
from extend_pipeline_tests.support.harness.charges import Submission

STEPS: Final = 6
_ACCOUNTS: Final = ("kling", "kling-gateway", "vidu", "luma")
_PATIENCE_S: Final = 1.0  # over a call, as the pipeline's
_TRIES: Final = 2
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS tasks (account TEXT, video TEXT, hop INTEGER, parent TEXT, task_id TEXT, result TEXT)
"""


@dataclass(frozen=True)
class Wire:
    """One account: where it is, and its key."""

    account: str
    base_url: str
    key: str

    def submit(self, parent: str, prompt: str) -> tuple[str, Mapping[str, Any]]:
        """Path and body of an extension (docs/upstream/README.md)."""
        match self.account:
            case "vidu":
                parameters = {"vidu_type": "extend", "duration": 1, "resolution": "540p"}
                body = {"model": "viduq2-turbo", "input": {"video_url": parent, "prompt": prompt}}
                return "/v1/tasks/submit", {**body, "parameters": parameters}
            case "luma":
                return f"/luma/generations/{parent}/extend", {"user_prompt": prompt}
            case "kling-gateway":
                return "/kling/v1/videos/video-extend", {"video_id": parent, "prompt": prompt}
            case _:
                return "/v1/videos/video-extend", {"video_id": parent, "prompt": prompt}

    def task_of(self, answer: Any) -> str:
        """The task that the answer to a submit names. Raises KeyError, TypeError where it names none."""
        match self.account:
            case "vidu":
                return str(answer["output"]["task_id"])
            case "luma":
                return str(answer["id"])
            case _:
                return str(answer["data"]["task_id"])

    def query(self, task_id: str) -> str:
        """Where a task is asked for."""
        match self.account:
            case "vidu":
                return f"/v1/tasks/status?task_id={task_id}"
            case "luma":
                return f"/luma/generations/{task_id}"
            case "kling-gateway":
                return f"/kling/v1/videos/video-extend/{task_id}"
            case _:
                return f"/v1/videos/video-extend/{task_id}"

    def result_of(self, answer: Any) -> tuple[str, str] | None:
        """What the next hop names as its source, and where the film is; None while there is none."""
        match self.account:
            case "vidu":
                urls = answer["output"].get("urls")
                return (urls[0], urls[0]) if urls else None
            case "luma":
                return (answer["id"], answer["video"]["url"]) if answer["state"] == "completed" else None
            case _:
                done = answer["data"]["task_status"] == "succeed"
                film = answer["data"]["task_result"]["videos"][0] if done else None
                return (film["id"], film["url"]) if film else None


def extend_for_ever(orders: Orders) -> None:
    """Extend this process's share of the videos hop by hop, until the file `ending` is there."""
    import httpx

    wires = {wire.account: wire for wire in wires_of(str(orders.settings["base_url"]))}
    with closing(_database(Path(orders.settings["database"]))) as database, httpx.Client(trust_env=False) as client:
        while not orders.ending.exists():
            for account, video, source in _share(orders):
                if orders.ending.exists():
                    break
                _extend(database, client, wires[account], video, source)


def _share(orders: Orders) -> Iterator[tuple[str, str, str]]:
    for number in range(orders.number, int(orders.settings["videos"]), WORKERS):
        account = _ACCOUNTS[number // WORKERS % len(_ACCOUNTS)]
        source = f"source-{number}"
        url = f"{orders.settings['base_url']}/_sandbox/media/{source}.mp4"
        yield account, f"{account}-{number}", url if account == "vidu" else source


def _extend(database: sqlite3.Connection, client: Any, wire: Wire, video: str, source: str) -> None:
    """The next hop of one video, or what is left of the last."""
    import httpx

    rows = database.execute("SELECT hop, task_id, result FROM tasks WHERE video = ? ORDER BY hop", (video,)).fetchall()
    hop, task_id, result = rows[-1] if rows else (0, "", source)
    if hop == STEPS and result is not None:
        return
    headers = {"Authorization": f"Bearer {wire.key}"}
    try:
        if result is not None:
            path, body = wire.submit(result, f"{video} goes on {hop + 1}")
            task_id = _post(client, wire, f"{wire.base_url}{path}", headers, body)
            row = (wire.account, video, hop + 1, result, task_id, None)
            database.execute("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", row)
        answer = client.get(f"{wire.base_url}{wire.query(task_id)}", headers=headers, timeout=_PATIENCE_S)
        film = wire.result_of(answer.raise_for_status().json())
        if film is not None:
            client.get(film[1], timeout=_PATIENCE_S).raise_for_status()
            database.execute("UPDATE tasks SET result = ? WHERE task_id = ?", (film[0], task_id))
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return  # it comes round again


def _post(client: Any, wire: Wire, url: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> str:
    """The task's id; one more try after an error, as everybody has it."""
    import httpx

    for left in reversed(range(_TRIES)):
        try:
            answer = client.post(url, headers=headers, json=body, timeout=_PATIENCE_S)
            return wire.task_of(answer.raise_for_status().json())
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def wires_of(base_url: str) -> list[Wire]:
    """The accounts of the storm's sandbox but the one that is capped, since the naive client has no budget."""
    config = SandboxConfig()
    assert CAPPED not in _ACCOUNTS
    keys = (config.api_key, config.gateway.key, config.vidu.key, config.luma.key)
    return [Wire(account, base_url, key) for account, key in zip(_ACCOUNTS, keys, strict=True)]


def sources(count: int) -> list[dict[str, Any]]:
    """The seeds of so many videos, in turn for each account."""
    return [
        {"video_id": f"source-{number}", "duration": 5.0, "provider": _ACCOUNTS[number // WORKERS % len(_ACCOUNTS)]}
        for number in range(count)
    ]


def recorded_submissions(path: Path) -> list[Submission]:
    """Return the submits that the client's table has: each with its task, since it records no others."""
    with closing(_database(path)) as database:
        rows = database.execute("SELECT account, parent, task_id FROM tasks").fetchall()
    return [Submission(parent, account=account, task_id=task_id) for account, parent, task_id in rows]


def _database(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, timeout=60)
    database.execute("PRAGMA synchronous=OFF")
    database.execute(_TABLE)
    return database
