"""Redirects as a fault: a client that follows one after a submit sends again; one of a download may lead anywhere."""

from __future__ import annotations

from typing import Any

import pytest

from extend_pipeline.sandbox import SandboxError
from extend_pipeline_tests.sandbox.conftest import PATH, Kling
from extend_pipeline_tests.sandbox.providers.surfaces import Client
from extend_pipeline_tests.support.user_texts import check_user_text


def charged(kling: Kling, external_task_id: str) -> int:
    return int(kling.handle.charges()["by_external_task_id"].get(external_task_id, 0))


@pytest.mark.parametrize(("after", "made"), [(None, 1), (True, 1), (False, 0)])
def test_a_redirected_submit_has_created_its_task_unless_ordered_otherwise(
    kling: Kling, after: bool | None, made: int
) -> None:
    kling.handle.faults([{"kind": "redirect", **({} if after is None else {"after": after})}])
    response = kling.submit(kling.source(), external_task_id=f"redirected-{after}")
    assert response.status_code == 307
    assert response.headers["location"] == PATH
    assert response.content == b""
    assert charged(kling, f"redirected-{after}") == made


def test_a_client_that_follows_a_redirected_submit_pays_twice(client: Client) -> None:
    source, before = client.source(), client.charged()
    client.fault("redirect")
    client.http.follow_redirects = True
    response = client.submit(source)
    assert response.status_code in (200, 201), response.text
    assert [past.status_code for past in response.history] == [307]
    assert client.charged() == before + 2
    doubles = [double for double in client.handle.charges()["double"] if client.task_id(response) in double["task_ids"]]
    assert [double["count"] for double in doubles] == [2]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["query", "list"])
def test_a_redirected_read_leads_to_itself_with_its_query(kling: Kling, where: str, code: int) -> None:
    task_id = kling.extend(kling.source())["task_id"]
    path = f"{PATH}/{task_id}" if where == "query" else f"{PATH}?pageNum=1&pageSize=2"
    kling.handle.faults([{"kind": "redirect", "where": where, "code": code}])
    response = kling.http.get(path)
    assert (response.status_code, response.headers["location"]) == (code, path)
    assert kling.http.get(response.headers["location"]).status_code == 200


def test_a_submit_may_be_sent_to_another_host(kling: Kling) -> None:
    kling.handle.faults([{"kind": "redirect", "after": False, "location": "https://elsewhere.test/v1"}])
    assert kling.submit(kling.source()).headers["location"] == "https://elsewhere.test/v1"


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "//[::1]/x", ""]
)
def test_a_download_redirects_to_the_location_of_its_fault(kling: Kling, location: str) -> None:
    task = kling.extend(kling.source())
    url = str(task["task_result"]["videos"][0]["url"])
    order = {"kind": "redirect", "where": "download", "location": location, "match": {"task_id": task["task_id"]}}
    kling.handle.faults([order])
    response = kling.http.get(url)
    assert response.status_code == 307
    assert response.headers["location"] == (location or url.removeprefix(kling.handle.base_url))
    assert kling.http.get(url).status_code == 200


@pytest.mark.parametrize(
    "order",
    [
        {"kind": "redirect", "location": "http://a/\r\nSet-Cookie: x=1"},
        {"kind": "redirect", "location": "http://a/ b"},
        {"kind": "redirect", "location": "http://ä/"},
        {"kind": "redirect", "location": "x" * 2001},
        {"kind": "redirect", "location": 7},
        {"kind": "redirect", "code": 200},
        {"kind": "html", "location": "http://a/"},
        {"kind": "odd_deduction"},
        {"kind": "odd_deduction", "units": "1.2345"},
        {"kind": "odd_deduction", "units": -1},
        {"kind": "odd_deduction", "units": "much"},
        {"kind": "html", "units": "2"},
        {"kind": "callback_late", "hold": 31 * 86_400},
        {"kind": "callback_drop", "match": {"task_id": "1"}},
    ],
)
def test_an_invalid_fault_is_refused(kling: Kling, order: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as caught:
        kling.handle.faults([order])
    check_user_text(str(caught.value))
    assert kling.handle.faults() == []
