"""Sources that are fetched before their first hop: each is recorded when it has come, and after a stop no further one
is begun."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.submit import source_probe
from extend_pipeline.engine.submit.source_probe import prepare
from extend_pipeline.ledger import tables
from extend_pipeline_tests.support.home.engine_home import EngineHome, eventually
from extend_pipeline_tests.support.home.every_provider import other_account, other_entry, planted
from extend_pipeline_tests.support.servers.serving import serving


class HoldingServer(socketserver.ThreadingTCPServer):
    """Counts requests, and ends each without a reply when they are released."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests = 0
        self.released = threading.Event()


class _Handler(socketserver.BaseRequestHandler):
    server: HoldingServer

    def handle(self) -> None:
        self.request.recv(65_536)
        self.server.requests += 1
        self.server.released.wait(60)


@pytest.fixture
def holding() -> Iterator[HoldingServer]:
    """Yield a server that holds every request."""
    with serving(HoldingServer()) as server:
        yield server
        server.released.set()


def write_sources(home: EngineHome, holding: HoldingServer) -> None:
    """Write a home with one source whose host replies when it is released, and two that can be fetched."""
    held = {"video_url": f"http://127.0.0.1:{holding.server_address[1]}/film.mp4"}
    entries = [other_entry("vidu", "held", held), *(planted(home, "vidu", number) for number in range(2))]
    home.write(entries, other_account("vidu", home.sandbox.base_url))


def measured(pipeline: Pipeline) -> set[str]:
    """Return the videos whose source was measured."""
    table = tables.videos
    with pipeline.ledger.read() as connection:
        query = select(table.c.video_key).where(table.c.source_probed_ms.is_not(None))
        return set(connection.execute(query).scalars())


def test_a_source_whose_host_hangs_keeps_no_other_from_being_recorded(home: EngineHome, holding: HoldingServer) -> None:
    write_sources(home, holding)
    stop = threading.Event()
    with home.open() as pipeline, ThreadPoolExecutor(1) as pool:
        declare_catalogue(pipeline)
        preparing = pool.submit(prepare, pipeline, stop=stop)
        try:
            eventually(lambda: measured(pipeline) == {"vidu-0", "vidu-1"}, within=9)  # before the first one has failed
            assert not preparing.done()
        finally:
            stop.set()
            holding.released.set()
        report = preparing.result(20)
        # the one that was held had one of its tries, and is fetched by the next process
        assert (sorted(report.measured), report.unreachable) == (["vidu-0", "vidu-1"], [])
        assert holding.requests == 1


def test_after_a_stop_no_further_source_is_begun(home: EngineHome, holding: HoldingServer) -> None:
    home.options |= {"max_downloads": 1}
    write_sources(home, holding)
    stop = threading.Event()
    with home.open() as pipeline, ThreadPoolExecutor(1) as pool:
        driven = pool.submit(advance_until_idle, pipeline, stop=stop)
        try:
            eventually(lambda: holding.requests)
        finally:
            stop.set()
            holding.released.set()
        driven.result(30)
        assert measured(pipeline) == set()
        assert holding.requests == 1
    assert home.sandbox.charges()["charges"] == []


def test_an_error_of_one_fetch_keeps_no_other_from_being_recorded(
    home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write([planted(home, "vidu", number) for number in range(3)], other_account("vidu", home.sandbox.base_url))
    fetch_source = source_probe.fetch_source

    def fetched(pipeline: Pipeline, video: Video, **options: Any) -> Any:
        if video.key == "vidu-1":
            raise RuntimeError("not foreseen")
        return fetch_source(pipeline, video, **options)

    with home.open() as pipeline:
        declare_catalogue(pipeline)
        with monkeypatch.context() as patch:
            patch.setattr(source_probe, "fetch_source", fetched)
            with pytest.raises(RuntimeError):
                prepare(pipeline)
        assert measured(pipeline) == {"vidu-0", "vidu-2"}
        assert prepare(pipeline).measured == ["vidu-1"]
