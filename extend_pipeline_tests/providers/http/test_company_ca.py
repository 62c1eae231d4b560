"""A server whose certificate a company's own CA signed: trusted by a setting, and a refusal that names what to set."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.http import trust
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.download import Body, DownloadPolicy, Fault, FaultKind, open_download
from extend_pipeline.providers.http.results import HttpResult, NotSent, Reply, Setting
from extend_pipeline.providers.http.retry import AttemptResult
from extend_pipeline.providers.http.route import Route
from extend_pipeline.providers.http.trust import check_trust
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.protocol import QueryFailed, QueryFault, Rejected, RejectReason, SubmitRequest
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import KeyAuth
from extend_pipeline.providers.wire.transport_outcome import classify_query, classify_submit
from extend_pipeline_tests.providers.http.raw_server import RawServer
from extend_pipeline_tests.support.servers.company_ca import ISSUER, Company, needs_openssl
from extend_pipeline_tests.support.user_texts import check_user_text

pytestmark = needs_openssl


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    trust.load_context.cache_clear()
    yield
    trust.load_context.cache_clear()


def ask(port: int, *, host: str = "localhost", ca: str = trust.PUBLIC) -> HttpResult:
    client = HttpClient(f"https://{host}:{port}", allow_local=True, route=Route(trust=ca))
    try:
        return client.post_json("/x", {}, headers={"authorization": "Bearer t"}, deadline_s=5)
    finally:
        client.close()


def test_the_refusal_names_host_issuer_and_setting_and_nothing_was_sent(port: int, backend: RawServer) -> None:
    before = len(backend.requests)
    result = ask(port)
    assert isinstance(result, NotSent)
    assert result.setting is Setting.CERTIFICATE
    for part in ("localhost", ISSUER, "Harbour Studio", "ca: system", "ca: FILE"):
        assert part in result.reason
    assert len(backend.requests) == before
    rejected, query = classify_submit(result, ()), classify_query(result, ())
    assert isinstance(rejected, Rejected)
    assert rejected.reason is RejectReason.CERTIFICATE
    assert rejected.reason.stops_account
    assert isinstance(query, AttemptResult)
    assert query.outcome.fault is QueryFault.CERTIFICATE
    assert not query.again


def test_a_file_counts_besides_the_public_roots(port: int, company: Company) -> None:
    assert isinstance(ask(port, ca=str(company.ca)), Reply)
    assert isinstance(ask(port, host="127.0.0.1", ca=str(company.ca)), Reply)
    assert len(trust.context_for(str(company.ca)).get_ca_certs()) > 50


def test_the_system_s_store_counts(port: int, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(ask(port, ca=trust.SYSTEM), NotSent)
    trust.load_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(company.ca))  # OpenSSL's variable for the system's store
    assert isinstance(ask(port, ca=trust.SYSTEM), Reply)


def test_a_download_is_refused_and_trusted_alike(port: int, company: Company) -> None:
    url = f"https://localhost:{port}/film.mp4"
    with open_download(url, DownloadPolicy(allow_local=True)) as outcome:
        assert isinstance(outcome, Fault)
        assert outcome.kind is FaultKind.REFUSED
        assert ISSUER in outcome.message
    with open_download(url, DownloadPolicy(allow_local=True, route=Route(trust=str(company.ca)))) as outcome:
        assert isinstance(outcome, Body)


def test_a_replaced_file_counts_without_a_new_start(port: int, company: Company, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    check_user_text(str(check_trust(str(file))))
    file.write_text("no certificate")
    assert "PEM" in str(check_trust(str(file)))
    refused = ask(port, ca=str(file))
    assert isinstance(refused, NotSent)
    assert refused.setting is Setting.CERTIFICATE
    file.write_bytes(company.ca.read_bytes())
    os.utime(file, (time.time(), time.time() + 1))
    assert check_trust(str(file)) is None
    assert isinstance(ask(port, ca=str(file)), Reply)


def test_a_certificate_for_another_name_is_not_blamed_on_the_ca(
    port: int, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_args, **_kw: [(2, 1, 6, "", ("127.0.0.1", port))])
    result = ask(port, host="gateway.example", ca=str(company.ca))
    assert isinstance(result, NotSent)
    assert "another host" in result.reason
    assert "ca: system" not in result.reason


def test_a_provider_reports_the_certificate_for_submit_and_query(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CA_TEST_KEY", "some-key-or-other")
    auth = KeyAuth(ApiKey(api_key_env="CA_TEST_KEY"))
    provider = GatewayProvider(
        ApiClient(base_url=f"https://localhost:{port}", auth=auth, allow_local=True), forwarded_fields=()
    )
    try:
        rejected = provider.submit(SubmitRequest("e1", "800000000000000001"))
        query = provider.query("809792635498011564")
    finally:
        provider.close()
    assert isinstance(rejected, Rejected)
    assert rejected.reason is RejectReason.CERTIFICATE
    assert isinstance(query, QueryFailed)
    assert query.fault is QueryFault.CERTIFICATE
