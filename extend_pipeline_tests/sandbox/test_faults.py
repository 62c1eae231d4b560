"""Every fault as a client sees it, and the charges that it leaves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from extend_pipeline_tests.sandbox.conftest import PATH, Kling, eventually

BEFORE = ["refuse", "reset_before", "timeout_before", "5xx_before", "html", "code_1102", "code_1303", "code_1203"]


def charged(kling: Kling, external_task_id: str) -> int:
    return int(kling.handle.charges()["by_external_task_id"].get(external_task_id, 0))


@pytest.mark.parametrize("kind", ["refuse", "reset_before"])
def test_a_reset_before_creates_no_task(kling: Kling, kind: str) -> None:
    kling.handle.faults([{"kind": kind}])
    source = kling.source()
    # A reset that comes while the body is still being written may reach the reader as a plain end of stream.
    with pytest.raises(httpx.ReadError if kind == "reset_before" else httpx.TransportError):
        kling.submit(source, external_task_id=kind)
    assert charged(kling, kind) == 0
    assert kling.submit(source, external_task_id=kind).status_code == 200


def test_a_reset_after_leaves_a_task_that_can_be_looked_up(kling: Kling) -> None:
    kling.handle.faults([{"kind": "reset_after"}])
    source = kling.source()
    with pytest.raises(httpx.ReadError):
        kling.submit(source, external_task_id="reset-after")
    assert kling.query("reset-after")["task_status"] == "succeed"
    assert charged(kling, "reset-after") == 1
    assert kling.code(kling.submit(source, external_task_id="reset-after")) == (400, 1201)


@pytest.mark.parametrize(("kind", "made"), [("timeout_before", 0), ("timeout_after", 1)])
def test_a_held_answer_ends_in_the_clients_time_out(kling: Kling, kind: str, made: int) -> None:
    kling.handle.faults([{"kind": kind, "hold": 30}])
    source = kling.source()
    with pytest.raises(httpx.ReadTimeout):
        kling.http.post(PATH, json={"video_id": source, "external_task_id": kind}, timeout=0.2)
    assert charged(kling, kind) == made


def test_a_hold_that_is_over_closes_without_an_answer(kling: Kling) -> None:
    kling.handle.faults([{"kind": "timeout_before", "hold": 0.1}])
    started = time.monotonic()
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        kling.submit(kling.source())
    assert 0.1 <= time.monotonic() - started < 5


def test_a_held_answer_does_not_hold_up_the_end_of_the_server(start: Callable[..., Kling]) -> None:
    kling = start()
    kling.handle.faults([{"kind": "timeout_after", "hold": 600}])
    failures: list[Exception] = []
    source = kling.source()

    def submit() -> None:
        try:
            kling.submit(source)
        except httpx.HTTPError as error:
            failures.append(error)

    client = threading.Thread(target=submit)
    client.start()
    eventually(lambda: kling.handle.tasks())
    started = time.monotonic()
    kling.handle.stop()
    client.join(5)
    assert time.monotonic() - started < 2
    assert len(failures) == 1


@pytest.mark.parametrize(("code", "expected"), [(500, (500, 5000)), (503, (503, 5001)), (5002, (504, 5002))])
@pytest.mark.parametrize(("kind", "made"), [("5xx_before", 0), ("5xx_after", 1)])
def test_a_server_error_does_not_show_whether_there_is_a_task(
    kling: Kling, code: int, expected: tuple[int, int], kind: str, made: int
) -> None:
    kling.handle.faults([{"kind": kind, "code": code}])
    name = f"{kind}-{code}"
    assert kling.code(kling.submit(kling.source(), external_task_id=name)) == expected
    assert charged(kling, name) == made


@pytest.mark.parametrize(("code", "after"), [(200, True), (200, False), (502, True), (502, False)])
def test_a_submit_may_return_an_html_page(kling: Kling, code: int, after: bool) -> None:
    kling.handle.faults([{"kind": "html", "code": code, "after": after}])
    name = f"html-{code}-{after}"
    response = kling.submit(kling.source(), external_task_id=name)
    assert response.status_code == code
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")
    assert charged(kling, name) == int(after)


def test_a_cut_body_promises_more_than_it_brings(kling: Kling) -> None:
    kling.handle.faults([{"kind": "cut_body"}])
    with pytest.raises(httpx.RemoteProtocolError, match="complete message"):
        kling.submit(kling.source(), external_task_id="cut")
    assert charged(kling, "cut") == 1


@pytest.mark.parametrize(("after", "made"), [(True, 1), (False, 0)])
def test_a_body_may_be_no_json_or_nothing_at_all(kling: Kling, after: bool, made: int) -> None:
    kling.handle.faults([{"kind": "not_json", "after": after}, {"kind": "empty_body", "after": after}])
    source = kling.source()
    responses = [kling.submit(source, external_task_id=f"{name}-{after}") for name in ("not-json", "empty")]
    assert [response.status_code for response in responses] == [200, 200]
    with pytest.raises(ValueError, match="Expecting value"):
        responses[0].json()
    assert responses[1].content == b""
    assert [charged(kling, f"{name}-{after}") for name in ("not-json", "empty")] == [made, made]


def test_slow_headers_arrive_in_the_end_and_defeat_a_time_out_between_bytes(kling: Kling) -> None:
    kling.handle.faults([{"kind": "slow_headers", "hold": 0.6}])
    started = time.monotonic()
    body = {"video_id": kling.source(), "external_task_id": "slow"}
    response = kling.http.post(PATH, json=body, timeout=0.4)
    assert response.json()["data"]["task_info"] == {"external_task_id": "slow"}
    assert time.monotonic() - started > 0.4


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("code_1102", (429, 1102)),
        ("code_1303", (429, 1303)),
        ("code_1302", (429, 1302)),
        ("code_1301", (400, 1301)),
        ("code_1203", (404, 1203)),
        ("code_1103", (403, 1103)),
        ("auth_1004", (401, 1004)),
    ],
)
def test_any_business_code_can_be_armed(kling: Kling, kind: str, expected: tuple[int, int]) -> None:
    places = ["submit", "query", "list"]
    kling.handle.faults([{"kind": kind, "where": where} for where in places])
    responses = [kling.submit(kling.source(), external_task_id=kind), kling.http.get(f"{PATH}/x"), kling.http.get(PATH)]
    assert [kling.code(response) for response in responses] == [expected] * 3
    assert charged(kling, kind) == 0


def test_a_task_may_fail_after_it_was_accepted(kling: Kling) -> None:
    kling.handle.faults([{"kind": "fail_task", "match": {"external_task_id": "doomed"}}])
    source = kling.source()
    assert kling.extend(source, external_task_id="fine")["task_status"] == "succeed"
    doomed = kling.extend(source, external_task_id="doomed")
    assert (doomed["task_status"], doomed["task_status_msg"]) == ("failed", "risk control")
    assert doomed["task_result"] == {}


def test_success_may_be_code_200(kling: Kling) -> None:
    kling.handle.faults([{"kind": "code_200"}, {"kind": "code_200", "where": "query"}])
    response = kling.submit(kling.source())
    assert kling.code(response) == (200, 200)
    assert kling.code(kling.http.get(f"{PATH}/{response.json()['data']['task_id']}")) == (200, 200)


def test_ids_may_be_bare_integers(kling: Kling) -> None:
    kling.handle.faults([{"kind": "integer_ids"}, {"kind": "integer_ids", "where": "query"}])
    task_id = kling.submit(kling.source(), external_task_id="bare").json()["data"]["task_id"]
    assert isinstance(task_id, int)
    assert task_id > 2**53
    data = kling.query("bare")
    assert data["task_id"] == task_id
    assert isinstance(data["task_result"]["videos"][0]["id"], int)
    assert kling.query("bare")["task_id"] == str(task_id)


def test_fields_of_a_result_may_be_missing(kling: Kling) -> None:
    task_id = kling.submit(kling.source()).json()["data"]["task_id"]
    kling.handle.faults(
        [{"kind": kind, "where": "query"} for kind in ("missing_task_info", "no_unit_deduction", "videos_null")]
    )
    bent = kling.query(task_id)
    assert "task_info" not in bent
    assert "final_unit_deduction" not in bent
    assert bent["task_result"] == {"videos": None}
    whole = kling.query(task_id)
    assert whole["final_unit_deduction"] == "2"
    assert len(whole["task_result"]["videos"]) == 1


def test_an_alteration_waits_until_there_is_something_to_alter(start: Callable[..., Kling]) -> None:
    kling = start(run_time=(1000, 1000))
    kling.handle.faults([{"kind": "videos_null", "where": "query"}])
    task_id = kling.submit(kling.source()).json()["data"]["task_id"]
    assert kling.query(task_id)["task_status"] == "submitted"
    assert kling.handle.faults()[0]["fired"] == 0
    kling.handle.set_offset(1001)
    assert kling.query(task_id)["task_result"] == {"videos": None}


def test_times_skip_and_match_choose_the_requests(kling: Kling) -> None:
    source = kling.source()
    kling.handle.faults([{"kind": "code_1302", "times": 2, "skip": 1, "match": {"video_id": source}}])
    assert kling.submit(kling.source()).status_code == 200
    assert [kling.submit(source).status_code for _ in range(4)] == [200, 429, 429, 200]
    (order,) = kling.handle.faults()
    assert (order["fired"], order["remaining"]) == (2, 0)


def test_a_refused_request_uses_up_no_later_fault(kling: Kling) -> None:
    kling.handle.faults([{"kind": "reset_after"}])
    assert kling.code(kling.submit("unknown")) == (404, 1203)
    assert kling.handle.faults()[0]["fired"] == 0


def test_a_query_fault_can_be_matched_by_any_id_of_the_task(kling: Kling) -> None:
    source = kling.source()
    task = kling.extend(source, external_task_id="matched")
    result = task["task_result"]["videos"][0]["id"]
    for match in ({"task_id": task["task_id"]}, {"external_task_id": "matched"}, {"video_id": result}):
        kling.handle.faults([{"kind": "5xx_before", "where": "query", "match": match}])
        kling.submit(source)
        assert kling.http.get(f"{PATH}/{task['task_id']}").status_code == 500


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
@pytest.mark.parametrize("where", ["query", "list"])
def test_reads_can_be_reset_too(kling: Kling, kind: str, where: str) -> None:
    task_id = kling.submit(kling.source()).json()["data"]["task_id"]
    kling.handle.faults([{"kind": kind, "where": where}])
    with pytest.raises(httpx.ReadError):
        kling.http.get(PATH if where == "list" else f"{PATH}/{task_id}")


def test_clearing_removes_the_faults_that_have_not_struck(kling: Kling) -> None:
    kling.handle.faults([{"kind": kind} for kind in BEFORE])
    kling.handle.clear_faults()
    assert kling.handle.faults() == []
    assert kling.submit(kling.source()).status_code == 200


def film_url(kling: Kling, task: dict[str, Any]) -> str:
    return str(kling.query(task["task_id"])["task_result"]["videos"][0]["url"])


def test_an_expired_url_stays_expired_and_a_query_brings_a_fresh_one(kling: Kling) -> None:
    task = kling.extend(kling.source())
    url = film_url(kling, task)
    kling.handle.faults([{"kind": "expired_url"}])
    assert [kling.http.get(url).status_code for _ in range(2)] == [403, 403]
    assert kling.http.get(film_url(kling, task)).status_code == 200


def test_a_download_may_be_cut_in_the_middle(kling: Kling) -> None:
    url = film_url(kling, kling.extend(kling.source()))
    kling.handle.faults([{"kind": "cut_download"}])
    with pytest.raises(httpx.RemoteProtocolError, match="complete message"):
        kling.http.get(url)
    assert kling.http.get(url).status_code == 200


def test_a_download_may_be_a_broken_file_of_honest_length(kling: Kling) -> None:
    url = film_url(kling, kling.extend(kling.source()))
    whole = kling.http.get(url).content
    kling.handle.faults([{"kind": "broken_file"}, {"kind": "broken_file", "variant": "moov"}])
    cut, flipped = kling.http.get(url), kling.http.get(url)
    assert cut.status_code == flipped.status_code == 200
    assert cut.content == whole[: len(whole) * 7 // 10]
    assert int(cut.headers["content-length"]) == len(cut.content)
    assert len(flipped.content) == len(whole)
    assert flipped.content != whole
    assert flipped.content[:32] == whole[:32]


@pytest.mark.parametrize(("kind", "status"), [("html_download", 200), ("5xx_before", 500), ("html", 502)])
def test_a_download_may_be_something_else(kling: Kling, kind: str, status: int) -> None:
    url = film_url(kling, kling.extend(kling.source()))
    kling.handle.faults([{"kind": kind, "where": "download"}])
    response = kling.http.get(url)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/")


def test_a_download_may_be_reset(kling: Kling) -> None:
    task = kling.extend(kling.source())
    url = film_url(kling, task)
    kling.handle.faults([{"kind": "reset_before", "where": "download", "match": {"task_id": task["task_id"]}}])
    with pytest.raises(httpx.ReadError):
        kling.http.get(url)


def test_the_request_log_names_the_fault_in_place_of_a_status(start: Callable[..., Kling]) -> None:
    kling = start()
    kling.handle.faults([{"kind": "reset_after"}, {"kind": "cut_body"}])
    source = kling.source()
    for _ in range(2):
        with pytest.raises(httpx.HTTPError):
            kling.submit(source)
    assert {row["status"] for row in kling.handle.requests()["counts"]} == {"reset", "cut"}
