"""A download goes on where it stopped: across tries, processes and URLs, with servers that refuse or ignore ranges."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from extend_pipeline.base.failpoints import ENVIRONMENT
from extend_pipeline.engine.fetch.fetch import FetchFailure
from extend_pipeline.engine.fetch.resume import MAX_REFUSED, Download, fetch_rest, fetch_whole
from extend_pipeline.media.check.probe import check_file
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.media.store import Stored
from extend_pipeline.providers.http.download import DownloadPolicy
from extend_pipeline_tests.providers.http.raw_server import RawServer, raw_server
from extend_pipeline_tests.support.media.mp4 import make_clip

LOCAL = DownloadPolicy(allow_local=True, idle_timeout_s=2)
KEY = "result:a1"
CUT = 4_096


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a film."""
    content = make_clip(tmp_path_factory.mktemp("films") / "film.mp4", seconds=2).read_bytes()
    assert len(content) > 2 * CUT
    return content


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Return an empty store."""
    return LocalStore(tmp_path / "media")


@dataclass
class FilmServer:
    """Serve one file over a bad line, at most `cut` bytes a response. The fields set other behaviours of a server."""

    content: bytes
    cut: int = 10**9
    ranges: bool = True
    validator: str | None = '"v1"'
    shift: int = 0  # added to the first byte of a Content-Range
    refuse_ranges: int = 0  # the status of the response to a range
    pause_s: float = 0.0  # between pieces of 1 kB
    sent: list[int] = field(default_factory=list)

    def __call__(self, server: RawServer, connection: socket.socket, _index: int) -> None:
        """Answer one request."""
        requested = server.header("range")
        size = len(self.content)
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and self.ranges else 0
        if start and server.header("if-range") not in (None, self.validator):
            start = 0
        headers = {"Content-Type": "video/mp4", "Connection": "close"}
        if self.validator is not None:
            headers["ETag"] = self.validator
        status = 206 if start else 200
        if requested and self.refuse_ranges:
            status, start = self.refuse_ranges, size
        elif start >= size:
            status = 416
            headers["Content-Range"] = f"bytes */{size}"
        elif start:
            headers["Content-Range"] = f"bytes {start + self.shift}-{size - 1}/{size}"
        body = self.content[start:]
        headers["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        connection.sendall(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode())
        piece = body[: self.cut]
        self.sent.append(len(piece))
        for at in range(0, len(piece), 1024):
            connection.sendall(piece[at : at + 1024])
            if self.pause_s:
                server.stopping.wait(self.pause_s)
        connection.shutdown(socket.SHUT_RDWR)


def fetch(store: LocalStore, url: str, policy: DownloadPolicy = LOCAL) -> Stored | FetchFailure:
    """Fetch once, as a round of `advance` does."""
    with store.partial(KEY) as partial:
        assert partial is not None
        return fetch_rest(Download(store, KEY, url, policy, None, check_file), partial)


def left(store: LocalStore) -> list[Path]:
    """Return the paths in the folder of incoming files."""
    return list((store.root / ".incoming").iterdir())


@pytest.mark.parametrize("validator", ['"v1"', None])
def test_a_line_that_is_cut_every_4_kb_brings_the_film_and_no_byte_twice(
    store: LocalStore, film: bytes, validator: str | None
) -> None:
    line = FilmServer(film, cut=CUT, validator=validator)
    with raw_server(line) as server:
        outcome = fetch(store, server.base_url)
        assert server.header("if-range") == validator
        assert server.header("accept-encoding") == "identity"
    assert isinstance(outcome, Stored)
    assert (store.root / outcome.path).read_bytes() == film
    assert sum(line.sent) == len(film)
    assert left(store) == []


def test_another_process_with_a_renewed_url_continues_the_partial_file(store: LocalStore, film: bytes) -> None:
    line = FilmServer(film, cut=500)  # too little a try for the next one to follow at once
    with raw_server(line) as server:
        first = fetch(store, f"{server.base_url}/old.mp4?sig=1")
        assert isinstance(first, FetchFailure)
        assert (first.cut, first.progress) == (True, True)
        line.cut = 10**9
        outcome = fetch(LocalStore(store.root), f"{server.base_url}/new.mp4?sig=2")
    assert isinstance(outcome, Stored)
    assert sum(line.sent) == len(film)


def test_a_slow_line_outlasts_silence_and_window_while_bytes_flow(store: LocalStore, film: bytes) -> None:
    policy = DownloadPolicy(allow_local=True, idle_timeout_s=0.6, window_s=0.6, min_bytes=1_024)
    line = FilmServer(film, pause_s=0.08)
    with raw_server(line) as server:
        began = time.monotonic()
        outcome = fetch(store, server.base_url, policy)
        assert time.monotonic() - began > 0.6
    assert isinstance(outcome, Stored)
    assert len(line.sent) == 1


@pytest.mark.parametrize("how", ["ignores ranges", "another place", "another file", "another length, no validator"])
def test_bytes_that_do_not_continue_the_file_are_read_from_the_start(
    store: LocalStore, film: bytes, tmp_path: Path, how: str
) -> None:
    other_film = make_clip(tmp_path / "other.mp4", seconds=3).read_bytes()
    changes: dict[str, dict[str, object]] = {
        "ignores ranges": {"ranges": False},
        "another place": {"shift": 1},
        "another file": {"content": other_film, "validator": '"v2"'},
        "another length, no validator": {"content": other_film, "validator": None},
    }
    line = FilmServer(film, cut=900)
    with raw_server(line) as server:
        assert isinstance(fetch(store, server.base_url), FetchFailure)
        line.cut = 10**9
        for name, value in changes[how].items():
            setattr(line, name, value)
        outcome = fetch(store, server.base_url)
    assert isinstance(outcome, Stored)
    assert (store.root / outcome.path).read_bytes() == line.content
    assert left(store) == []


def test_a_resumed_file_that_is_invalid_is_fetched_from_the_start_before_it_counts(
    store: LocalStore, film: bytes
) -> None:
    """The file changes between two tries and is as long as before, and the server sends no validator."""
    line = FilmServer(bytes(len(film)), cut=900, validator=None)
    with raw_server(line) as server:
        assert isinstance(fetch(store, server.base_url), FetchFailure)
        line.content, line.cut = film, 10**9
        outcome = fetch(store, server.base_url)
    assert isinstance(outcome, Stored)
    assert (store.root / outcome.path).read_bytes() == film
    assert not (store.root / "quarantine").exists()


def test_an_invalid_file_counts_even_where_every_response_is_cut(store: LocalStore) -> None:
    line = FilmServer(b"no film at all" * 1_000, cut=CUT)
    with raw_server(line) as server:
        outcome = fetch(store, server.base_url)
    assert isinstance(outcome, FetchFailure)
    assert outcome.sha256 is not None
    assert [path.stem.rpartition("-")[2] for path in (store.root / "quarantine").iterdir()] == [outcome.sha256]
    assert left(store) == []


@pytest.mark.parametrize("total_known", [True, False])
def test_a_whole_file_that_was_not_checked_yet_is_not_downloaded_again(
    store: LocalStore, film: bytes, total_known: bool
) -> None:
    with store.partial(KEY) as partial:
        assert partial is not None
        partial.begin('"v1"', len(film) if total_known else None)
        partial.append([film])
    line = FilmServer(film)
    with raw_server(line) as server:
        assert isinstance(fetch(store, server.base_url), Stored)
    assert sum(line.sent) == 0
    assert len(line.sent) == (0 if total_known else 1)


def test_a_server_that_refuses_ranges_is_asked_for_the_whole_file_in_the_end(store: LocalStore, film: bytes) -> None:
    line = FilmServer(film, cut=900)
    with raw_server(line) as server:
        assert isinstance(fetch(store, server.base_url), FetchFailure)
        line.cut, line.refuse_ranges = 10**9, 501
        outcomes = [fetch(store, server.base_url) for _ in range(MAX_REFUSED + 1)]
    assert [isinstance(outcome, Stored) for outcome in outcomes] == [False] * MAX_REFUSED + [True]


def test_more_than_the_limit_is_refused(store: LocalStore, film: bytes) -> None:
    line = FilmServer(film, cut=900)
    with raw_server(line) as server:
        assert isinstance(fetch(store, server.base_url), FetchFailure)
        outcome = fetch(store, server.base_url, DownloadPolicy(allow_local=True, max_bytes=len(film) - 1))
    assert isinstance(outcome, FetchFailure)
    assert outcome.refused


CHILD = """
import sys
from pathlib import Path
from extend_pipeline.base.failpoints import arm_from_environment
from extend_pipeline.engine.fetch.resume import Download, fetch_rest
from extend_pipeline.media.check.probe import check_file
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.providers.http.download import DownloadPolicy
arm_from_environment()
store = LocalStore(Path(sys.argv[1]))
with store.partial("result:a1") as partial:
    policy = DownloadPolicy(allow_local=True)
    fetch_rest(Download(store, "result:a1", sys.argv[2], policy, None, check_file), partial)
"""


@pytest.mark.parametrize("failpoint", ["collect.mid_download", "collect.before_rename"])
def test_a_process_killed_in_a_download_leaves_its_bytes_to_the_next(
    store: LocalStore, film: bytes, failpoint: str
) -> None:
    line = FilmServer(film, pause_s=0.01)
    with raw_server(line) as server:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(store.root), server.base_url],
            env={**os.environ, ENVIRONMENT: f"{failpoint}=kill"},
            timeout=60,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        line.sent.clear()
        line.pause_s = 0
        outcome = fetch(store, server.base_url)
    assert isinstance(outcome, Stored)
    assert (store.root / outcome.path).read_bytes() == film
    assert sum(line.sent) < len(film)
    assert left(store) == []


def test_bytes_that_a_power_cut_may_have_taken_do_not_count(store: LocalStore, film: bytes) -> None:
    with store.partial(KEY) as partial:
        assert partial is not None
        partial.begin('"v1"', len(film))
        partial.append([film[:5_000], bytes(3_000)])
    [facts] = [path for path in left(store) if path.suffix == ".facts"]
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "boot": "another", "synced": 5_000}))
    line = FilmServer(film)
    with raw_server(line) as server:
        outcome = fetch(store, server.base_url)
    assert isinstance(outcome, Stored)
    assert (store.root / outcome.path).read_bytes() == film
    assert line.sent == [len(film) - 5_000]


def test_two_writers_never_share_a_partial_file_nor_wait_for_a_stopped_one(store: LocalStore, film: bytes) -> None:
    with raw_server(FilmServer(film)) as server, store.partial(KEY) as stopped:
        assert stopped is not None
        stopped.begin('"v1"', len(film))
        stopped.append([film[:5_000]])
        with LocalStore(store.root).partial(KEY) as second:
            assert second is None
        download = Download(store, KEY, server.base_url, LOCAL, None, check_file)
        outcome = fetch_whole(download)
        assert isinstance(outcome, Stored)
        assert fetch_rest(download, stopped) == outcome
    assert left(store) == []


def test_sweep_keeps_what_is_still_to_be_fetched_and_removes_the_rest(store: LocalStore, film: bytes) -> None:
    for key in ("result:open", "result:ended"):
        with store.partial(key) as partial:
            assert partial is not None
            partial.begin('"v1"', len(film))
            partial.append([film[:5_000]])
    later = time.time() + 7_200
    assert store.sweep(older_than_s=86_400, now=later) == 0
    with store.partial("result:ended"):
        assert store.sweep(older_than_s=3_600, now=later, keep=["result:open"]) == 0, "it is being written"
    assert store.sweep(older_than_s=3_600, now=later, keep=["result:open"]) == 1
    assert len(left(store)) == 2
    store.forget("result:open")
    assert left(store) == []


@pytest.mark.parametrize("facts", ["", "[]", '{"total": "x"}', '{"other": 1}', '{"total": 3, "boot": "b"}'])
def test_unreadable_facts_of_a_partial_file_cost_only_its_bytes(store: LocalStore, film: bytes, facts: str) -> None:
    with store.partial(KEY) as partial:
        assert partial is not None
        partial.begin(None, len(film))
        partial.append([film[:5_000]])
    [path] = [path for path in left(store) if path.suffix == ".facts"]
    path.write_text(facts)
    with raw_server(FilmServer(film)) as server:
        assert isinstance(fetch(store, server.base_url), Stored)
    assert left(store) == []


def test_partial_files_are_for_their_owner_alone_and_named_by_a_digest(store: LocalStore) -> None:
    before = os.umask(0)
    try:
        with store.partial("result:../../x") as partial:
            assert partial is not None
            partial.begin(None, 3)
            partial.append([b"a"])
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in left(store)} == {0o600}
    assert all(len(path.stem) == 64 for path in left(store))
