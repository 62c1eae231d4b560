"""Pages of Kling's list over a socket: of any size that Kling has, and within a cap."""

from __future__ import annotations

import pytest

from extend_pipeline.providers.protocol import (
    Page,
    QueryFailed,
    QueryFault,
)
from extend_pipeline_tests.providers.http.raw_server import (
    always,
    answer,
)
from extend_pipeline_tests.providers.kling.bodies import DONE, done, envelope
from extend_pipeline_tests.providers.kling.provider.scripted import kling, provider_at
from extend_pipeline_tests.support.user_texts import check_user_text


def test_a_page_of_five_hundred_rows_is_read() -> None:
    signed = "https://v1.klingai.com/a.mp4?sig=" + "x" * 900
    row = done(task_result={"videos": [{"id": "1", "url": signed, "watermark_url": signed, "duration": "9.6"}]})
    rows = [{**row, "task_id": str(827942411241803822 + index)} for index in range(500)]
    with kling(always(answer(200, envelope(rows)))) as (provider, server):
        page = provider.list_page(3, 500)
        assert server.asked() == ("GET", "/v1/videos/video-extend?pageNum=3&pageSize=500")
    assert isinstance(page, Page)
    assert (len(page.views), page.malformed) == (500, 0)


def test_a_page_beyond_the_cap_is_reported_as_too_large() -> None:
    with kling(always(answer(200, envelope([DONE] * 50))), page_cap=10_000) as (provider, server):
        outcome = provider.list_page(1, 500)
        assert len(server.requests) == 1
    assert isinstance(outcome, QueryFailed)
    assert outcome.fault is QueryFault.MALFORMED
    check_user_text(outcome.answer.message)


@pytest.mark.parametrize(("page", "size"), [(0, 30), (1001, 30), (1, 0), (1, 501)])
def test_a_page_that_kling_does_not_have_is_a_mistake_of_the_caller(page: int, size: int) -> None:
    provider = provider_at("https://api.example.com")
    with pytest.raises(ValueError, match="1-500"):
        provider.list_page(page, size)
