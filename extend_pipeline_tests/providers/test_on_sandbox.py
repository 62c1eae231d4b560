"""The gateway, Vidu and Luma against the sandbox, which was written from the same documents and shares no code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from extend_pipeline.config.model.credentials import ApiKey
from extend_pipeline.providers.http.download import Body, DownloadPolicy, open_download
from extend_pipeline.providers.http.retry import RetryPolicy
from extend_pipeline.providers.kling_gateway.provider import GatewayProvider
from extend_pipeline.providers.luma.provider import LumaProvider
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    NotFound,
    Provider,
    QueryFailed,
    Rejected,
    RejectReason,
    SubmitRequest,
    TaskState,
    TaskView,
    Unknown,
)
from extend_pipeline.providers.vidu.provider import ViduProvider
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.providers.wire.credentials import KeyAuth
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, Seed, running_sandbox
from extend_pipeline.sandbox.kling_gateway.settings import GatewayConfig, Reserialised
from extend_pipeline.sandbox.luma.settings import LumaConfig
from extend_pipeline.sandbox.surface.settings import ErrorShape
from extend_pipeline.sandbox.vidu.settings import ViduConfig
from extend_pipeline_tests.providers.wire.image_bytes import png

NAMES = ("kling-gateway", "vidu", "luma")
FAST = RetryPolicy(attempts=2, wait_initial_s=0.01, wait_max_s=0.02, min_left_s=0.01)
VIDU_PARAMS = {"prompt": "smooth camera", "model": "viduq2-turbo", "seconds": 1, "resolution": "540p"}
SEEDS = tuple(Seed(video_id=f"seed-{name}", duration=5.0, provider=name) for name in NAMES)


@dataclass(frozen=True)
class Surface:
    """The key, the client and the parameters for one surface of the sandbox."""

    key: str
    prefix: str
    make: Callable[[ApiClient], Provider]
    params: dict[str, object]


SURFACES = {
    "kling-gateway": Surface("sandbox-gateway-key", "Bearer ", GatewayProvider, {"prompt": "wider"}),
    "vidu": Surface("sandbox-vidu-key", "", ViduProvider, VIDU_PARAMS),
    "luma": Surface(
        "sandbox-luma-key", "Bearer ", lambda client: LumaProvider(client, batch_query=True), {"prompt": "add cat"}
    ),
}


def config(**changes: object) -> SandboxConfig:
    return SandboxConfig(run_time=(0.05, 0.1), slots=4, seeds=SEEDS, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxHandle]:
    with running_sandbox(Path(tmp_path_factory.mktemp("others")), config()) as handle:
        yield handle


@pytest.fixture(autouse=True)
def _tidy(sandbox: SandboxHandle) -> Iterator[None]:
    yield
    sandbox.clear_faults()


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def provider(
    name: str, sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch, *, key: str = "", deadline_s: float = 10.0
) -> Iterator[Provider]:
    surface = SURFACES[name]
    monkeypatch.setenv("O_KEY", key or surface.key)
    client = ApiClient(
        base_url=sandbox.base_url,
        auth=KeyAuth(ApiKey(api_key_env="O_KEY"), surface.prefix),
        allow_local=True,
        post_deadline_s=deadline_s,
        get_deadline_s=deadline_s,
        retry=FAST,
    )
    new_provider = surface.make(client)
    yield new_provider
    new_provider.close()


def request_for(name: str, sandbox: SandboxHandle, source: str = "", **params: object) -> SubmitRequest:
    source_id = source or (sandbox.source_url("seed-vidu") if name == "vidu" else f"seed-{name}")
    return SubmitRequest("own_1", source_id, params={**SURFACES[name].params, **params})


def finished(client: Provider, task_id: str) -> TaskView:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        outcome = client.query(task_id)
        assert isinstance(outcome, Found), outcome
        if outcome.view.state in (TaskState.SUCCEEDED, TaskState.FAILED):
            return outcome.view
    raise AssertionError(f"task {task_id} is still running")


def test_two_hops_are_made_watched_and_fetched(
    name: str, sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ""
    with provider(name, sandbox, monkeypatch) as client:
        for _hop in (1, 2):
            outcome = client.submit(request_for(name, sandbox, source))
            assert isinstance(outcome, Accepted), outcome
            view = finished(client, outcome.task_id)
            assert view.state is TaskState.SUCCEEDED
            assert view.warnings == ()
            assert view.created_ms is not None
            assert view.added_ms == (1000 if name == "vidu" else None)
            assert view.units_micros is None
            (output,) = view.outputs
            assert output.video_id is not None
            with open_download(output.url, DownloadPolicy(hosts=(), allow_local=True)) as body:
                assert isinstance(body, Body), body
                assert b"".join(body.chunks)[4:8] == b"ftyp"
            source = output.video_id
        if name == "luma":
            assert view.expires_ms is not None
            many = client.query_many([outcome.task_id, "unrelated"])
            assert set(many) == {outcome.task_id}
            assert isinstance(many[outcome.task_id], Found)
    assert not sandbox.charges()["double"]


def test_a_wrong_key_an_unknown_source_and_an_unknown_task_are_distinguished(
    name: str, sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(name, sandbox, monkeypatch, key="wrong-key") as client:
        outcome = client.submit(request_for(name, sandbox))
        assert isinstance(outcome, Rejected), outcome
        assert outcome.reason is RejectReason.AUTH
    with provider(name, sandbox, monkeypatch) as client:
        unknown = sandbox.source_url("unrelated") if name == "vidu" else "unrelated"
        outcome = client.submit(request_for(name, sandbox, unknown))
        assert isinstance(outcome, Rejected), outcome
        assert outcome.reason is (RejectReason.BAD_REQUEST if name == "vidu" else RejectReason.NOT_FOUND)
        assert isinstance(client.query("no-such-task"), NotFound | QueryFailed)


def test_a_task_that_fails_or_expires_ends(name: str, sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("fail_task", "expire_task") if name == "vidu" else ("fail_task",):
        sandbox.faults([{"kind": kind, "where": "submit"}])
        with provider(name, sandbox, monkeypatch) as client:
            outcome = client.submit(request_for(name, sandbox))
            assert isinstance(outcome, Accepted), outcome
            view = finished(client, outcome.task_id)
            assert (view.state, view.added_ms, view.outputs) == (TaskState.FAILED, None, ())
            assert view.message


@pytest.mark.parametrize(
    ("code", "reasons"),
    [
        (1102, {RejectReason.BALANCE, RejectReason.FORBIDDEN}),
        (1103, {RejectReason.FORBIDDEN}),
        (1301, {RejectReason.CONTENT}),
        (1302, {RejectReason.RATE}),
        (1303, {RejectReason.SLOTS, RejectReason.RATE}),
    ],
)
def test_klings_codes_are_understood_in_each_surfaces_form(
    name: str, sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch, code: int, reasons: set[RejectReason]
) -> None:
    sandbox.faults([{"kind": f"code_{code}", "where": "submit"}])
    with provider(name, sandbox, monkeypatch) as client:
        outcome = client.submit(request_for(name, sandbox))
    assert isinstance(outcome, Rejected), outcome
    assert outcome.reason in reasons


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset_after"},
        {"kind": "timeout_after", "hold": 3},
        {"kind": "5xx_after", "code": 5000},
        {"kind": "5xx_before", "code": 503},
        {"kind": "html", "after": True},
        {"kind": "not_json", "after": True},
        {"kind": "empty_body", "after": True},
        {"kind": "cut_body"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_a_submit_that_goes_wrong_is_unknown(
    name: str, sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch, fault: dict[str, object]
) -> None:
    sandbox.faults([{**fault, "where": "submit"}])
    with provider(name, sandbox, monkeypatch, deadline_s=1.0) as client:
        outcome = client.submit(request_for(name, sandbox))
    assert isinstance(outcome, Unknown), outcome
    before = len(sandbox.tasks())
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up and any(t["status"] in ("submitted", "processing") for t in sandbox.tasks()):
        pass  # the next test needs its slot
    assert len(sandbox.tasks()) == before


def test_a_wrapped_failure_is_in_doubt_on_submit(sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.faults([{"kind": "wrapped_failure", "where": "submit"}])
    with provider("luma", sandbox, monkeypatch) as client:
        outcome = client.submit(request_for("luma", sandbox))
        assert isinstance(outcome, Unknown), outcome
        task = sandbox.tasks()[-1]
        assert str(task["task_id"]) in outcome.cause
        assert finished(client, str(task["task_id"])).state is TaskState.SUCCEEDED


def test_a_local_image_arrives(sandbox: SandboxHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64

    uri = "data:image/png;base64," + base64.b64encode(png(320, 200, total=200_000)).decode()
    with provider("vidu", sandbox, monkeypatch) as client:
        outcome = client.submit(request_for("vidu", sandbox, last_frame_url=uri))
        assert isinstance(outcome, Accepted), outcome
        assert finished(client, outcome.task_id).state is TaskState.SUCCEEDED


def test_bodies_rewritten_by_a_reseller_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = GatewayConfig(reserialised=Reserialised(timestamps="text", code=200, url_only=True), origin_units=True)
    luma = LumaConfig(submit_status=201, raw_duration=True, clean_url=False, failure_reason=False)
    with running_sandbox(tmp_path, config(gateway=gateway, luma=luma, vidu=ViduConfig(output="segment"))) as handle:
        with provider("kling-gateway", handle, monkeypatch) as client:
            outcome = client.submit(request_for("kling-gateway", handle))
            assert isinstance(outcome, Accepted), outcome
            view = finished(client, outcome.task_id)
            assert (view.outputs[0].video_id, view.units_micros) == (None, None)
            assert view.warnings
            assert view.created_ms is not None
            assert abs(view.created_ms / 1000 - time.time()) < 600
        with provider("luma", handle, monkeypatch) as client:
            outcome = client.submit(request_for("luma", handle))
            assert isinstance(outcome, Accepted), outcome
            view = finished(client, outcome.task_id)
            assert view.outputs[0].watermark_url is None
            assert view.outputs[0].duration_ms is not None


@pytest.mark.parametrize("shape", get_args(ErrorShape))
def test_a_refusal_is_read_in_every_shape_and_html_proves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: ErrorShape
) -> None:
    settings = config(gateway=GatewayConfig(error_shape=shape), luma=LumaConfig(error_shape=shape))
    with running_sandbox(tmp_path, settings) as handle:
        for name in ("kling-gateway", "luma"):
            with provider(name, handle, monkeypatch) as client:
                for source, code, reason in (
                    ("unrelated", None, RejectReason.NOT_FOUND),
                    ("", 1102, RejectReason.BALANCE),
                    ("", 1302, RejectReason.RATE),
                    ("", 1002, RejectReason.AUTH),
                ):
                    if code is not None:
                        handle.faults([{"kind": f"code_{code}", "where": "submit", "match": {"provider": name}}])
                    outcome = client.submit(request_for(name, handle, source))
                    if shape == "html":
                        assert isinstance(outcome, Unknown), outcome
                    else:
                        assert isinstance(outcome, Rejected), outcome
                        assert outcome.reason is reason, outcome
