"""Redirects of the sandbox: that of a submit is never followed, that of a download is checked each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.http.download import Body, DownloadPolicy, Fault, FaultKind, open_download
from extend_pipeline.providers.kling.auth import KlingAuth
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.luma.provider import LumaProvider
from extend_pipeline.providers.protocol import Found, Provider, QueryFailed, SubmitRequest, Unknown
from extend_pipeline.providers.vidu.provider import ViduProvider
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import KeyAuth
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, Seed, running_sandbox
from extend_pipeline_tests.support.user_texts import check_user_text

KEYS = {
    "kling": "sandbox-api-key",
    "kling-gateway": "sandbox-gateway-key",
    "vidu": "sandbox-vidu-key",
    "luma": "sandbox-luma-key",
}
PARAMS = {"vidu": {"prompt": "fog", "model": "viduq2-turbo", "seconds": 1, "resolution": "540p"}}
LOCAL = DownloadPolicy(hosts=(), allow_local=True)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    seeds = tuple(Seed(video_id=f"seed-{name}", duration=5.1, provider=name) for name in KEYS)
    config = SandboxConfig(run_time=(0, 0), slots=500, seeds=seeds)
    with running_sandbox(Path(tmp_path_factory.mktemp("redirects")), config) as handle:
        yield handle


@pytest.fixture(autouse=True)
def _tidy(sandbox: SandboxHandle) -> Iterator[None]:
    yield
    sandbox.clear_faults()


@contextmanager
def provider(name: str, base_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("R_KEY", KEYS[name])
    new_provider: Provider
    if name == "kling":
        new_provider = KlingProvider(
            ApiClient(base_url=base_url, auth=KlingAuth(ApiKey(api_key_env="R_KEY")), allow_local=True)
        )
    else:
        kinds = {"kling-gateway": GatewayProvider, "vidu": ViduProvider, "luma": LumaProvider}
        new_provider = kinds[name](
            ApiClient(base_url=base_url, auth=KeyAuth(ApiKey(api_key_env="R_KEY"), "Bearer "), allow_local=True)
        )
    yield new_provider
    new_provider.close()


def charges(sandbox: SandboxHandle, name: str) -> int:
    return sum(
        int(account["charges"]) for account in sandbox.charges()["by_account"].values() if account["provider"] == name
    )


@pytest.mark.parametrize(("after", "charged"), [(True, 1), (False, 0)])
@pytest.mark.parametrize("code", [301, 307, 308])
@pytest.mark.parametrize("name", KEYS)
def test_a_redirected_submit_is_unknown_and_not_sent_again(
    sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch, name: str, code: int, after: bool, charged: int
) -> None:
    before = charges(sandbox, name)
    sandbox.faults([{"kind": "redirect", "code": code, "after": after, "match": {"provider": name}}])
    source = sandbox.source_url("seed-vidu") if name == "vidu" else f"seed-{name}"
    request = SubmitRequest(f"own-{code}-{after}", source, params=PARAMS.get(name, {"prompt": "fog"}))
    with provider(name, sandbox.base_url, monkeypatch) as client:
        outcome = client.submit(request)
    assert isinstance(outcome, Unknown), outcome
    assert outcome.answer is not None
    assert outcome.answer.http_status == code
    assert charges(sandbox, name) == before + charged


@pytest.mark.parametrize("name", KEYS)
def test_a_redirected_query_fails(sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    task_id = sandbox.foreign_task(provider=name)["task_id"]
    sandbox.faults([{"kind": "redirect", "where": "query", "location": "http://169.254.169.254/", "times": 9}])
    with provider(name, sandbox.base_url, monkeypatch) as client:
        assert isinstance(client.query(task_id), QueryFailed)
        sandbox.clear_faults()
        assert isinstance(client.query(task_id), Found)


def film_url(sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch) -> str:
    task_id = sandbox.foreign_task()["task_id"]
    with provider("kling", sandbox.base_url, monkeypatch) as client:
        query = client.query(task_id)
    assert isinstance(query, Found)
    return query.view.outputs[0].url


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/latest/",
        "http://10.0.0.1/",
        "https://internal.example.com/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/a.mp4",
        "https://[::1",
    ],
)
def test_a_download_redirected_elsewhere_is_refused(
    sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    url = film_url(sandbox, monkeypatch)
    sandbox.faults([{"kind": "redirect", "where": "download", "location": location}])
    with open_download(url, LOCAL) as outcome:
        assert isinstance(outcome, Fault), outcome
    assert outcome.kind is FaultKind.REFUSED


def test_a_download_redirected_to_itself_is_fetched_and_in_an_endless_loop_refused(
    sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = film_url(sandbox, monkeypatch)
    sandbox.faults([{"kind": "redirect", "where": "download"}])
    with open_download(url, LOCAL) as outcome:
        assert isinstance(outcome, Body), outcome
        assert b"".join(outcome.chunks)[4:8] == b"ftyp"
    sandbox.faults([{"kind": "redirect", "where": "download", "times": 100}])
    with open_download(url, LOCAL) as outcome:
        assert isinstance(outcome, Fault)
        assert outcome.kind is FaultKind.REFUSED
        check_user_text(outcome.message)
