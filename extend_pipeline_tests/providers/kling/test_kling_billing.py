"""Kling's bills over real sockets: against a scripted server, and against the sandbox, which shares no code with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.providers.kling.auth import KlingAuth
from extend_pipeline.providers.kling.billing import BILL_PATH, Deductions, read_deductions
from extend_pipeline.providers.kling.provider import KlingProvider
from extend_pipeline.providers.protocol import Accepted, QueryFailed, QueryFault, SubmitRequest
from extend_pipeline.providers.wire.api_client import ApiClient
from extend_pipeline.sandbox import SandboxConfig, SandboxHandle, running_sandbox
from extend_pipeline_tests.providers.http.raw_server import (
    RawServer,
    Script,
    always,
    answer,
    hang_up,
    in_turn,
    raw_server,
)
from extend_pipeline_tests.providers.kling.billing_bodies import ROW, page, row
from extend_pipeline_tests.providers.kling.bodies import failure
from extend_pipeline_tests.support.user_texts import check_user_text

FOREVER = 10**14
SOURCE = "827000000000000001"


@dataclass(frozen=True)
class Billing:
    """A provider whose bill is read, and the function that waits between requests."""

    provider: KlingProvider
    pause: Callable[[float], None]

    def bill(self, since_ms: int, until_ms: int, **limits: int) -> Deductions | QueryFailed:
        return read_deductions(self.provider.client, BILL_PATH, since_ms, until_ms, self.pause, **limits)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SandboxConfig()
    monkeypatch.setenv("B_ACCESS", config.access_key)
    monkeypatch.setenv("B_SECRET", config.secret_key)
    monkeypatch.setenv("B_API", config.api_key)


@contextmanager
def scripted(script: Script, pauses: list[float] | None = None) -> Iterator[tuple[Billing, RawServer]]:
    """Yield a client of a scripted server, and the server."""
    with raw_server(script) as server:
        provider = KlingProvider(
            ApiClient(
                base_url=server.base_url,
                auth=KlingAuth(KeyPair(access_key_env="B_ACCESS", secret_key_env="B_SECRET")),
                allow_local=True,
                get_deadline_s=5.0,
            )
        )
        waited: list[float] = [] if pauses is None else pauses
        yield Billing(provider, pause=waited.append), server
        provider.close()


def bodies(server: RawServer) -> list[dict[str, Any]]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in server.requests]


def request_lines(server: RawServer) -> set[tuple[str, str]]:
    """Return the methods and targets of all requests."""
    return {server.asked(index) for index in range(len(server.requests))}


def test_a_bill_is_read_page_by_page_and_never_faster_than_one_a_second() -> None:
    pauses: list[float] = []
    pages = [
        page(ROW, row(task_id="2"), more=True, cursor="c2"),
        page(row(task_id="3"), more=True, cursor="c3"),
        page(),
    ]
    with scripted(in_turn(*(answer(200, content) for content in pages)), pauses) as (billing, server):
        bill = billing.bill(5, 9, page_rows=2)
    assert isinstance(bill, Deductions)
    assert [deduction.task_id for deduction in bill.rows] == [ROW["task_id"], "2", "3"]
    assert (bill.pages, bill.malformed) == (3, 0)
    assert bodies(server) == [{"start_time": 5, "end_time": 9, "limit": 2}, {"cursor": "c2"}, {"cursor": "c3"}]
    assert request_lines(server) == {("POST", "/account/billing/package")}
    assert len(pauses) == 2
    assert min(pauses) >= 1.0


def test_a_bill_with_a_page_missing_is_none() -> None:
    script = in_turn(answer(200, page(ROW, more=True, cursor="c2")), answer(503, failure(5001)))
    with scripted(script) as (billing, server):
        bill = billing.bill(5, 9)
    assert isinstance(bill, QueryFailed)
    assert bill.fault is QueryFault.UPSTREAM
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "script",
    [always(answer(500, failure(5000))), always(answer(429, failure(1302))), hang_up],
    ids=["500", "429", "eof"],
)
def test_a_page_is_requested_once(script: Script) -> None:
    with scripted(script) as (billing, server):
        assert isinstance(billing.bill(5, 9), QueryFailed)
        assert len(server.requests) == 1


def test_a_redirect_of_the_bill_is_not_followed() -> None:
    with scripted(always(answer(307, b"", {"location": "/account/billing/package"}))) as (billing, server):
        bill = billing.bill(5, 9)
        assert isinstance(bill, QueryFailed)
        assert bill.answer.http_status == 307
        assert len(server.requests) == 1


def test_a_refused_token_is_minted_anew_once() -> None:
    script = in_turn(answer(401, failure(1004)), answer(200, page(ROW)))
    with scripted(script) as (billing, server):
        assert isinstance(billing.bill(5, 9), Deductions)
        assert len(server.requests) == 2
    with scripted(always(answer(401, failure(1004)))) as (billing, server):
        bill = billing.bill(5, 9)
        assert isinstance(bill, QueryFailed)
        assert bill.fault is QueryFault.AUTH
        assert len(server.requests) == 2


def test_a_bill_that_never_ends_is_given_up() -> None:
    circle = always(answer(200, page(ROW, more=True, cursor="again")))
    with scripted(circle) as (billing, server):
        bill = billing.bill(5, 9)
        assert isinstance(bill, QueryFailed)
        check_user_text(bill.answer.message)
        assert len(server.requests) == 2
    long = in_turn(*(answer(200, page(ROW, more=True, cursor=f"c{number}")) for number in range(9)))
    with scripted(long) as (billing, server):
        bill = billing.bill(5, 9, max_pages=3)
        assert isinstance(bill, QueryFailed)
        check_user_text(bill.answer.message)
        assert len(server.requests) == 3


def test_a_missing_secret_is_reported_before_any_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted(always(answer(200, page()))) as (billing, server):
        monkeypatch.delenv("B_SECRET")
        bill = billing.bill(5, 9)
        assert isinstance(bill, QueryFailed)
        assert bill.fault is QueryFault.NO_KEY
        assert "B_SECRET" in bill.answer.message
        assert server.requests == []


@pytest.mark.parametrize(("since", "until", "rows"), [(9, 9, 500), (9, 5, 500), (-1, 5, 500), (5, 9, 0), (5, 9, 501)])
def test_an_impossible_period_or_page_size_is_a_programming_error(since: int, until: int, rows: int) -> None:
    with scripted(always(answer(200, page()))) as (billing, server):
        with pytest.raises(ValueError, match=r"empty|pages"):
            billing.bill(since, until, page_rows=rows)
        assert server.requests == []


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Callable[..., tuple[SandboxHandle, KlingProvider, Billing]]]:
    """Yield a function that starts a sandbox and a client whose pauses advance the sandbox's clock."""
    with ExitStack() as stack:

        def start(**config: Any) -> tuple[SandboxHandle, KlingProvider, Billing]:
            handle = stack.enter_context(
                running_sandbox(
                    tmp_path / "sandbox", SandboxConfig(**{"run_time": (0, 0), "billing_delay": 0, **config})
                )
            )
            provider = KlingProvider(
                ApiClient(base_url=handle.base_url, auth=KlingAuth(ApiKey(api_key_env="B_API")), allow_local=True)
            )
            stack.callback(provider.close)
            offset = 0.0

            def pause(seconds: float) -> None:
                nonlocal offset
                offset += seconds
                handle.set_offset(offset)

            return handle, provider, Billing(provider, pause=pause)

        yield start


def test_the_bill_is_the_sandboxes_charge_book(upstream: Callable[..., Any]) -> None:
    handle, provider, billing = upstream(billing_page=2)
    handle.seed([{"video_id": SOURCE, "duration": 5.1}, {"video_id": "pro", "duration": 5.1, "mode": "pro"}])
    handle.faults([{"kind": "odd_deduction", "units": "4.5", "match": {"external_task_id": "odd"}}])
    handle.faults([{"kind": "fail_task", "match": {"external_task_id": "failed"}}])
    for name, source in (("fair", SOURCE), ("odd", SOURCE), ("pro", "pro"), ("failed", SOURCE)):
        assert isinstance(provider.submit(SubmitRequest(name, source)), Accepted)
    foreign = handle.foreign_task()
    bill = billing.bill(1, FOREVER)
    assert isinstance(bill, Deductions), bill
    assert (bill.pages, bill.malformed) == (2, 0)
    charged = {
        charge["task_id"]: int(Decimal(charge["units"]) * 1_000_000)
        for charge in handle.charges()["charges"]
        if not charge["refunded"]
    }
    assert {deduction.task_id: deduction.units_micros for deduction in bill.rows} == charged
    assert sorted(charged.values()) == [2_000_000, 2_000_000, 3_500_000, 4_500_000]
    assert foreign["task_id"] in charged
    times = {charge["task_id"]: charge["at"] for charge in handle.charges()["charges"]}
    assert all(deduction.at_ms == times[deduction.task_id] for deduction in bill.rows)


def test_a_bill_leaves_out_the_last_hours(upstream: Callable[..., Any]) -> None:
    handle, _, billing = upstream(billing_delay=12 * 3600)
    handle.foreign_task()
    old = handle.foreign_task(age=13 * 3600)
    bill = billing.bill(1, FOREVER)
    assert isinstance(bill, Deductions)
    assert [deduction.task_id for deduction in bill.rows] == [old["task_id"]]


def test_an_impatient_client_is_rate_limited(upstream: Callable[..., Any]) -> None:
    handle, provider, _ = upstream(billing_page=1)
    handle.foreign_task()
    handle.foreign_task()
    bill = Billing(provider, pause=lambda _: None).bill(1, FOREVER)
    assert isinstance(bill, QueryFailed)
    assert (bill.fault, bill.answer.code) == (QueryFault.RATE, "1302")


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "reset_after"},
        {"kind": "5xx_before", "code": 5000},
        {"kind": "html"},
        {"kind": "not_json"},
        {"kind": "empty_body"},
        {"kind": "cut_body"},
        {"kind": "redirect"},
        {"kind": "code_1103"},
    ],
    ids=lambda order: order["kind"],
)
def test_no_fault_of_the_sandbox_is_taken_for_a_bill(upstream: Callable[..., Any], fault: dict[str, Any]) -> None:
    handle, _, billing = upstream(billing_interval=0)
    foreign = handle.foreign_task()
    handle.faults([{**fault, "where": "billing"}])
    assert isinstance(billing.bill(1, FOREVER), QueryFailed)
    bill = billing.bill(1, FOREVER)
    assert isinstance(bill, Deductions)
    assert [deduction.task_id for deduction in bill.rows] == [foreign["task_id"]]
