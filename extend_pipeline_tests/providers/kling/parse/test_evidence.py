"""What is kept of Kling's responses as evidence: capped, fit for the ledger, and without secrets."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.kling.parse import parse_page
from extend_pipeline.providers.protocol import (
    Unknown,
)
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.bodies import done, envelope, failure
from extend_pipeline_tests.providers.kling.parse.outcomes import CANARY, ID, query, submit


def test_raw_is_capped_and_can_be_stored() -> None:
    outcome = submit(200, b'{"code":0,"message":"a\\u0000b \\ud800","data":{}} \x00' + b"x" * 10_000)
    assert isinstance(outcome, Unknown)
    assert len(outcome.answer.raw) == 4096
    stored = outcome.answer.raw + outcome.answer.message
    assert "\x00" not in stored
    stored.encode("utf-8")


@pytest.mark.parametrize("place", ["message", "request_id", "code", "data", "title", "row"])
def test_a_secret_that_the_upstream_sends_back_is_stored_nowhere(place: str) -> None:
    task = done(
        task_id=CANARY, task_status=CANARY, task_status_msg=f"x {CANARY}", final_unit_deduction=CANARY,
        task_info={"external_task_id": CANARY, "parent_video": {"id": CANARY, "url": f"https://a.b/{CANARY}"}},
        task_result={"videos": [{"id": CANARY, "url": f"https://a.b/{CANARY}", "watermark_url": f"https://a.b/{CANARY}"}]},
    )  # fmt: skip
    contents = {
        "message": failure(1302, f"bad token {CANARY}"),
        "request_id": failure(1302, request_id=CANARY),
        "code": failure(CANARY),
        "data": envelope(task),
        "title": f"<title>{CANARY}</title>".encode(),
        "row": envelope({**task, "task_id": ID}),
    }
    for status in (200, 400, 500):
        content = contents[place]
        outcomes: list[object] = [
            submit(status, content),
            query(status, content),
            parse_page(RawResponse(status, content, (CANARY,))),
        ]
        outcomes.append(parse_page(RawResponse(200, envelope([task, {**task, "task_id": ID}]), (CANARY,))))
        for outcome in outcomes:
            assert CANARY not in repr(outcome)
