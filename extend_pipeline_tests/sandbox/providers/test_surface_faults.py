"""Every fault at the three surfaces beside Kling, as a client sees it, and the charges that it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from extend_pipeline_tests.sandbox.providers.surfaces import Client, Gateway, Luma, Vidu

SURFACES = [Gateway, Vidu, Luma]
REFUSED = {
    "kling-gateway": {
        "rate_limit": 429,
        "no_money": 429,
        "content_refusal": 400,
        "unauthorized": 401,
        "forbidden": 403,
    },
    "vidu": {"rate_limit": 429, "no_money": 403, "content_refusal": 400, "unauthorized": 401, "forbidden": 403},
    "luma": {"rate_limit": 429, "no_money": 403, "content_refusal": 400, "unauthorized": 401, "forbidden": 403},
}


def paid_by(client: Client, act: Callable[[], Any]) -> int:
    """Return the number of charges that `act` adds."""
    before = client.charged()
    act()
    return client.charged() - before


@pytest.mark.parametrize(("kind", "made"), [("refuse", 0), ("reset_before", 0), ("reset_after", 1)])
def test_a_connection_may_be_reset(client: Client, kind: str, made: int) -> None:
    source = client.source()
    client.fault(kind)

    def act() -> None:
        with pytest.raises(httpx.TransportError):
            client.submit(source)

    assert paid_by(client, act) == made
    assert client.submit(source).status_code == 200


@pytest.mark.parametrize(("kind", "made"), [("timeout_before", 0), ("timeout_after", 1)])
def test_an_answer_may_be_held(client: Client, kind: str, made: int) -> None:
    source = client.source()
    client.fault(kind)
    client.http.timeout = httpx.Timeout(0.3)

    def act() -> None:
        with pytest.raises(httpx.ReadTimeout):
            client.submit(source)

    assert paid_by(client, act) == made


@pytest.mark.parametrize("code", [500, 503, 504])
@pytest.mark.parametrize(("kind", "made"), [("5xx_before", 0), ("5xx_after", 1)])
def test_a_server_error_does_not_show_whether_there_is_a_task(client: Client, code: int, kind: str, made: int) -> None:
    source = client.source()
    client.fault(kind, code=code)
    responses: list[httpx.Response] = []
    assert paid_by(client, lambda: responses.append(client.submit(source))) == made
    assert responses[0].status_code == code
    assert isinstance(responses[0].json(), dict)


@pytest.mark.parametrize(("kind", "after"), [("html", True), ("html", False), ("empty_body", True), ("not_json", True)])
def test_an_answer_may_be_no_json(client: Client, kind: str, after: bool) -> None:
    source = client.source()
    client.fault(kind, after=after)
    responses: list[httpx.Response] = []
    assert paid_by(client, lambda: responses.append(client.submit(source))) == int(after)
    with pytest.raises(ValueError, match="Expecting value"):
        responses[0].json()


def test_a_body_may_be_cut_after_the_task_was_made(client: Client) -> None:
    source = client.source()
    client.fault("cut_body")

    def act() -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            client.submit(source)

    assert paid_by(client, act) == 1


def test_two_documents_may_come_one_after_the_other(client: Client) -> None:
    client.fault("two_documents")
    text = client.submit(client.source()).text
    with pytest.raises(json.JSONDecodeError, match="Extra data"):
        json.loads(text)
    first, end = json.JSONDecoder().raw_decode(text)
    assert set(first) & {"data", "output", "id"}
    assert "error" in json.loads(text[end:])


@pytest.mark.parametrize("kind", ["rate_limit", "no_money", "content_refusal", "unauthorized", "forbidden"])
def test_a_refusal_creates_no_task_and_has_the_surfaces_own_status(client: Client, kind: str) -> None:
    source = client.source()
    client.fault(kind)
    client.fault(kind, "query")
    responses: list[httpx.Response] = []
    assert paid_by(client, lambda: responses.append(client.submit(source))) == 0
    responses.append(client.ask("any"))
    assert [response.status_code for response in responses] == [REFUSED[client.provider][kind]] * 2


def test_a_task_may_fail_after_it_was_accepted_and_is_refunded(client: Client) -> None:
    client.fault("fail_task")
    source = client.source()
    made: list[str] = []
    assert paid_by(client, lambda: made.append(client.extend(source))) == 0
    assert client.state(client.query(made[0])) in ("failed", "Failure")
    assert client.state(client.query(client.extend(source))) in ("succeed", "Success", "completed")


def test_an_unknown_state_has_no_result(client: Client) -> None:
    task_id = client.extend(client.source())
    client.fault("unknown_state", "query")
    bent = client.query(task_id)
    assert client.state(bent) in ("reviewing", "Postprocessing", "postprocessing")
    with pytest.raises((KeyError, TypeError)):
        client.url(bent)
    assert client.url(client.query(task_id)).startswith("http")


def test_a_finished_task_may_lack_its_result(client: Client) -> None:
    task_id = client.extend(client.source())
    client.fault("videos_null", "query")
    bent = client.query(task_id)
    assert client.state(bent) in ("succeed", "Success", "completed")
    with pytest.raises(TypeError):
        client.url(bent)


@pytest.mark.parametrize("kind", ["reset_before", "5xx_before", "timeout_before"])
def test_a_query_may_go_wrong_and_right_again(client: Client, kind: str) -> None:
    task_id = client.extend(client.source())
    client.fault(kind, "query", hold=0.05)
    try:
        assert client.ask(task_id).status_code == 500
    except httpx.TransportError:
        assert kind != "5xx_before"
    assert client.ask(task_id).status_code == 200


def test_a_download_may_be_cut_or_broken(client: Client) -> None:
    url = client.url(client.query(client.extend(client.source())))
    client.fault("cut_download", "download")
    with pytest.raises(httpx.RemoteProtocolError):
        client.http.get(url)
    client.fault("broken_file", "download")
    broken, whole = client.http.get(url).content, client.http.get(url).content
    assert 0 < len(broken) < len(whole)


@pytest.mark.parametrize(("client_type", "renewed"), [(Gateway, True), (Luma, True), (Vidu, False)])
def test_a_query_renews_an_expired_url_except_at_vidu(run: Any, client_type: type[Client], renewed: bool) -> None:
    client = run(client_type)
    task_id = client.extend(client.source())
    url = client.url(client.query(task_id))
    client.fault("expired_url", "download")
    assert [client.http.get(url).status_code for _ in range(2)] == [403, 403]
    fresh = client.url(client.query(task_id))
    assert (fresh != url, client.http.get(fresh).status_code) == ((True, 200) if renewed else (False, 403))


def test_a_fault_matched_with_a_provider_leaves_the_others_alone(gateway: Gateway, vidu: Vidu, luma: Luma) -> None:
    vidu.fault("refuse")
    assert gateway.submit(gateway.source()).status_code == 200
    assert luma.submit(luma.source()).status_code == 200
    source = vidu.source()
    with pytest.raises(httpx.TransportError):
        vidu.submit(source)
    assert vidu.submit(source).status_code == 200
