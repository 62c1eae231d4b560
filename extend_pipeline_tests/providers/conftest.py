"""Fixtures that tests of connections share: a company's CA, and a server that presents its certificate."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extend_pipeline_tests.providers.http.raw_server import RawServer, always, answer, raw_server
from extend_pipeline_tests.support.servers.company_ca import Company, make_company, tls_before


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Yield a company's CA and its server's certificate."""
    return make_company(tmp_path_factory.mktemp("company"))


@pytest.fixture(scope="module")
def backend() -> Iterator[RawServer]:
    """Yield the server behind TLS."""
    with raw_server(always(answer(200, b"{}", {"Content-Type": "video/mp4"}))) as server:
        yield server


@pytest.fixture(scope="module")
def port(company: Company, backend: RawServer) -> Iterator[int]:
    """Yield the port of a server that presents the company's certificate."""
    with tls_before(company.server, backend.port) as listening:
        yield listening
