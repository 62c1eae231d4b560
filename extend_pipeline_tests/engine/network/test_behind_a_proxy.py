"""A chain through a real forward proxy that wants a log-in, on a machine that can resolve nothing itself."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from extend_pipeline.engine.status import status
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, drive
from extend_pipeline_tests.support.servers.company_ca import make_company, needs_openssl, tls_before
from extend_pipeline_tests.support.servers.forward_proxy import forward_proxy, needs_tinyproxy, tinyproxy

NAME = "api.reseller.example"
LOGIN = "PROXY_TEST_LOGIN"


@pytest.fixture(autouse=True)
def _resolves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine resolve no name."""

    really = socket.getaddrinfo

    def look_up(host: str, port: Any, *args: Any, **options: Any) -> Any:
        if host[0].isdigit():
            return really(host, port, *args, **options)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@needs_tinyproxy
@needs_openssl
def test_a_chain_behind_a_proxy_is_paid_once_and_fetched_through_it(
    make_home: Callable[..., EngineHome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company, home = make_company(tmp_path), make_home()
    port = urlsplit(home.sandbox.base_url).port
    assert port is not None
    with (
        tls_before(company.server, port) as upstream,
        forward_proxy({NAME: upstream}) as names,
        tinyproxy(tmp_path, upstream=names.port, login="ann:pass-word") as proxy,
    ):
        entries = home.seeded(1, steps=2)
        setting = {"proxy": f"http://127.0.0.1:{proxy}", "proxy_login_env": LOGIN, "ca": str(company.ca)}
        home.write(entries, account(f"https://{NAME}", allow_local=False, **setting))
        monkeypatch.setenv(LOGIN, "ann:a-wrong-word")
        with home.open() as pipeline:
            (video,) = drive(pipeline).videos
            assert video.blocker is not None
            assert video.blocker.reason is BlockReason.ACCOUNT_STOPPED
            assert "log-in" in video.blocker.message
            assert "a-wrong-word" not in video.blocker.message
            assert status(pipeline).plan.needs_person
        assert home.sandbox.charges()["charges"] == []
        monkeypatch.setenv(LOGIN, "ann:pass-word")
        with home.open() as pipeline:
            (video,) = drive(pipeline).videos
            assert (video.blocker, video.hops_done) == (None, 2)
            assert check_invariants(pipeline.ledger) == []
    assert len(home.sandbox.charges()["charges"]) == 2
    assert set(names.asked) == {f"CONNECT {NAME}:443 HTTP/1.0"} or set(names.asked) == {f"CONNECT {NAME}:443 HTTP/1.1"}
