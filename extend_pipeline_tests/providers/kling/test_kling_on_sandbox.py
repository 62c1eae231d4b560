"""KlingProvider against the sandbox, which was written from the same documents and shares no code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.http.download import Body, DownloadPolicy, open_download
from extend_pipeline.providers.kling.auth import KlingAuth
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.protocol import (
    Accepted,
    Duplicate,
    Found,
    NotFound,
    Page,
    Rejected,
    RejectReason,
    SubmitRequest,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, Seed, running_sandbox

SOURCE = "827000000000000001"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    config = SandboxConfig(run_time=(0.05, 0.1), slots=2, seeds=(Seed(video_id=SOURCE, duration=5.1),))
    with running_sandbox(Path(tmp_path_factory.mktemp("sandbox")), config) as handle:
        yield handle


@pytest.fixture
def kling(sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch) -> Iterator[KlingProvider]:
    config = SandboxConfig()
    monkeypatch.setenv("S_ACCESS", config.access_key)
    monkeypatch.setenv("S_SECRET", config.secret_key)
    monkeypatch.setenv("S_API", config.api_key)
    provider = KlingProvider(
        ApiClient(
            base_url=sandbox.base_url,
            auth=KlingAuth(KeyPair(access_key_env="S_ACCESS", secret_key_env="S_SECRET")),
            allow_local=True,
        )
    )
    yield provider
    provider.close()


def finished(provider: KlingProvider, task_id: str) -> TaskView:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        outcome = provider.query(task_id)
        assert isinstance(outcome, Found), outcome
        if outcome.view.state in (TaskState.SUCCEEDED, TaskState.FAILED):
            return outcome.view
    raise AssertionError(f"task {task_id} is still running")


def test_a_task_is_made_found_watched_listed_and_fetched(sandbox: SandboxHandle, kling: KlingProvider) -> None:
    request = SubmitRequest("drive_1", SOURCE, params={"prompt": "the fog lifts", "cfg_scale": 0.5, "watermark": False})
    assert isinstance(kling.find("drive_1"), NotFound)
    outcome = kling.submit(request)
    assert isinstance(outcome, Accepted), outcome
    look_up = kling.find("drive_1")
    assert isinstance(look_up, Found)
    assert (look_up.view.task_id, look_up.view.external_task_id) == (outcome.task_id, "drive_1")
    view = finished(kling, outcome.task_id)
    assert view.state is TaskState.SUCCEEDED
    assert view.warnings == ()
    assert (view.parent_video_id, view.parent_duration_ms, view.units_micros) == (SOURCE, 5100, 2_000_000)
    (output,) = view.outputs
    assert output.video_id
    assert output.duration_ms is not None
    assert 9000 <= output.duration_ms <= 10_200
    page = kling.list_page(1, 500)
    assert isinstance(page, Page)
    assert page.malformed == 0
    assert outcome.task_id in [row.task_id for row in page.views]
    past = kling.list_page(1000, 500)
    assert past == Page((), 0, 0)
    with open_download(output.url, DownloadPolicy(hosts=(), allow_local=True)) as body:
        assert isinstance(body, Body), body
        film = b"".join(body.chunks)
    assert len(film) == body.content_length
    assert film[4:8] == b"ftyp"


def test_the_same_key_again_is_a_duplicate_and_charges_once(sandbox: SandboxHandle, kling: KlingProvider) -> None:
    request = SubmitRequest("twice_1", SOURCE)
    first = kling.submit(request)
    assert isinstance(first, Accepted), first
    assert isinstance(kling.submit(request), Duplicate)
    look_up = kling.find("twice_1")
    assert isinstance(look_up, Found)
    assert look_up.view.task_id == first.task_id
    assert sandbox.charges()["by_external_task_id"].get("twice_1") is not None
    assert not sandbox.charges()["double"]
    finished(kling, first.task_id)


def test_refusals_are_distinguished(
    sandbox: SandboxHandle, kling: KlingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reason(request: SubmitRequest, provider: KlingProvider = kling) -> RejectReason | None:
        outcome = provider.submit(request)
        return outcome.reason if isinstance(outcome, Rejected) else None

    assert reason(SubmitRequest("unknown_1", "999999999999999999")) is RejectReason.NOT_FOUND
    assert reason(SubmitRequest("long_1", SOURCE, params={"prompt": "x" * 2501})) in (
        None,
        RejectReason.BAD_REQUEST,
    )
    single = KlingProvider(
        ApiClient(base_url=sandbox.base_url, auth=KlingAuth(ApiKey(api_key_env="S_API")), allow_local=True)
    )
    assert isinstance(single.list_page(1, 1), Page)
    single.close()
    monkeypatch.setenv("S_SECRET", "another-secret-of-thirty-two-letters")
    assert reason(SubmitRequest("wrong_1", SOURCE)) is RejectReason.AUTH


@pytest.mark.parametrize(
    ("fault", "created"),
    [
        ({"kind": "reset_after"}, True),
        ({"kind": "timeout_after", "hold": 5}, True),
        ({"kind": "5xx_after", "code": 5000}, True),
        ({"kind": "html", "after": True}, True),
        ({"kind": "empty_body", "after": True}, True),
        ({"kind": "cut_body"}, True),
        ({"kind": "slow_headers", "hold": 5}, True),
        ({"kind": "reset_before"}, False),
        ({"kind": "5xx_before", "code": 503}, False),
        ({"kind": "html"}, False),
    ],
    ids=lambda value: value["kind"] + str(value.get("after", "")) if isinstance(value, dict) else "",
)
def test_a_submit_that_goes_wrong_is_unknown_and_the_look_up_finds_the_task(
    sandbox: SandboxHandle, kling: KlingProvider, fault: dict[str, object], created: bool
) -> None:
    own_id = f"fault_{fault['kind']}_{created}"
    sandbox.faults([{**fault, "where": "submit"}])
    impatient = KlingProvider(
        ApiClient(
            base_url=sandbox.base_url,
            auth=KlingAuth(ApiKey(api_key_env="S_API")),
            allow_local=True,
            post_deadline_s=1.0,
        )
    )
    outcome = impatient.submit(SubmitRequest(own_id, SOURCE))
    impatient.close()
    assert isinstance(outcome, Unknown), outcome
    look_up = kling.find(own_id)
    if created:
        assert isinstance(look_up, Found), look_up
        finished(kling, look_up.view.task_id)
    else:
        assert isinstance(look_up, NotFound), look_up
