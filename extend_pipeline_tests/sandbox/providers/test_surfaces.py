"""The four surfaces share one charge book, one list of tasks, full files and segments, seeds and config."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import av
import pytest

from extend_pipeline.sandbox import (
    GatewayConfig,
    KeyAccount,
    LumaConfig,
    SandboxConfig,
    SandboxError,
    ViduConfig,
    running_sandbox,
)
from extend_pipeline_tests.sandbox.conftest import Kling, Received, eventually
from extend_pipeline_tests.sandbox.providers.surfaces import Client, Gateway, Luma, Vidu

SOURCE_MS = 5000


def films(client: Client, hops: int) -> list[bytes]:
    """Return the files of a chain of extensions from a source of 5 s."""
    source, made = client.source(), []
    for _ in range(hops):
        body = client.query(client.extend(source))
        url = client.url(body)
        made.append(client.http.get(url).content)
        source = {"vidu": url, "luma": body.get("id", "")}.get(client.provider, "")
        source = source or body["data"]["task_result"]["videos"][0]["id"]
    return made


def length_ms(film: bytes) -> tuple[int, int]:
    """Return the begin and the end of a film's frames, in ms, from its packets."""
    with av.open(io.BytesIO(film)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.dts is not None]
        ends = [
            (packet.pts * packet.time_base, (packet.pts + packet.duration) * packet.time_base) for packet in packets
        ]
    return round(ends[0][0] * 1000), round(ends[-1][1] * 1000)


def frames(film: bytes) -> list[Any]:
    with av.open(io.BytesIO(film)) as opened:
        return [frame.to_ndarray(format="gray") for frame in opened.decode(video=0)]


@pytest.mark.parametrize(
    ("client_type", "config"),
    [
        (Gateway, {}),
        (Vidu, {}),
        (Luma, {"luma": LumaConfig(output="full")}),
    ],
)
def test_a_full_file_is_longer_with_every_hop(run: Any, client_type: type[Client], config: dict[str, Any]) -> None:
    first, second = (length_ms(film) for film in films(run(client_type, **config), 2))
    assert first[0] == second[0] == 0
    assert SOURCE_MS + 4500 <= first[1] <= SOURCE_MS + 5100
    assert first[1] + 4500 <= second[1] <= first[1] + 5100


@pytest.mark.parametrize(
    ("client_type", "config"),
    [
        (Gateway, {"gateway": GatewayConfig(output="segment")}),
        (Vidu, {"vidu": ViduConfig(output="segment")}),
        (Luma, {}),
    ],
)
def test_a_segment_holds_the_new_frames_alone(run: Any, client_type: type[Client], config: dict[str, Any]) -> None:
    for start, end in (length_ms(film) for film in films(run(client_type, **config), 2)):
        assert start == 0
        assert 4500 <= end <= 5100


def test_a_segment_begins_where_its_parent_ends(run: Any) -> None:
    whole = run(Luma, "whole", luma=LumaConfig(output="full"))
    cut = run(Luma, "cut")
    whole.handle.seed([{"video_id": "same", "duration": 5, "provider": "luma"}])
    cut.handle.seed([{"video_id": "same", "duration": 5, "provider": "luma"}])
    full, segment = (
        frames(client.http.get(client.url(client.query(client.extend("same")))).content) for client in (whole, cut)
    )
    tail = full[-len(segment) :]
    assert len(full) > len(segment)
    assert all(abs(a.astype(int) - b.astype(int)).mean() < 3 for a, b in zip(tail, segment, strict=True))


def test_a_segment_that_is_extended_in_full_counts_from_its_own_beginning(run: Any) -> None:
    luma = run(Luma)
    vidu = run(Vidu, "other")
    vidu.handle = luma.handle
    vidu.http.base_url = luma.http.base_url
    segment_url = luma.url(luma.query(luma.extend(luma.source())))
    end = length_ms(luma.http.get(segment_url).content)[1]
    film = vidu.http.get(vidu.url(vidu.query(vidu.extend(segment_url, duration=2)))).content
    assert length_ms(film) == (0, end + 2000)


def test_shared_media_keeps_segments_and_full_films_apart(run: Any) -> None:
    luma = run(Luma, share_media=True)
    first, second = films(luma, 1), films(luma, 1)
    assert first == second
    assert length_ms(first[0]) == (0, 5000)


def test_one_charge_book_and_one_list_hold_all_surfaces(run: Any) -> None:
    gateway = run(Gateway)
    others = [client(gateway.handle) for client in (Vidu, Luma)]
    kling = Kling(gateway.handle)
    kling.extend(kling.source())
    for client in (gateway, *others):
        client.extend(client.source())
    book = gateway.handle.charges()
    rows = {name: (row["provider"], row["units"], row["unit"]) for name, row in book["by_account"].items()}
    assert rows == {
        "sandbox": ("kling", "2", "kling-unit"),
        "gateway": ("kling-gateway", "1", "credit"),
        "vidu": ("vidu", "1.09", "CNY"),
        "luma": ("luma", "1", "credit"),
    }
    assert book["total_units"] == "2"
    assert [line["unit"] for line in book["charges"]] == ["kling-unit", "credit", "CNY", "credit"]
    tasks = gateway.handle.tasks()
    assert [(task["surface"], task["status"]) for task in tasks] == [
        (name, "succeed") for name in ("kling", "kling-gateway", "vidu", "luma")
    ]
    assert [task["details"].get("seconds") for task in tasks] == [None, None, 5, None]
    for client in (kling, *others):
        client.http.close()


@pytest.mark.parametrize("refund", [True, False])
def test_a_surface_may_refund_otherwise_than_the_sandbox(run: Any, refund: bool) -> None:
    vidu = run(Vidu, refund_failed=not refund, vidu=ViduConfig(refund_failed=refund))
    vidu.fault("fail_task")
    vidu.extend(vidu.source())
    row = vidu.handle.charges()["by_account"]["vidu"]
    assert (row["charges"], row["refunded"]) == ((0, 1) if refund else (1, 0))


def test_ids_are_drawn_from_the_seed(run: Any) -> None:
    def ids(state: str, seed: int) -> list[str]:
        client = run(Luma, state, seed=seed)
        return [client.extend(client.source()) for _ in range(3)]

    one, same, other = ids("a", 1), ids("b", 1), ids("c", 2)
    assert one == same
    assert not set(one) & set(other)


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        ({"provider": "sora"}, "provider"),
        ({"provider": "luma", "account": "sandbox"}, "for luma"),
        ({"video_url": "https://example.org/a.mp4"}, "vidu only"),
        ({"provider": "vidu", "video_url": ""}, "video_url"),
    ],
)
def test_an_invalid_seed_is_refused(client: Client, seed: dict[str, Any], reason: str) -> None:
    with pytest.raises(SandboxError, match=reason):
        client.handle.seed([{"video_id": "wrong", "duration": 5, **seed}])


def test_one_id_cannot_be_seeded_for_two_providers(client: Client) -> None:
    seed = {"video_id": f"twice-{client.provider}", "duration": 5}
    client.handle.seed([seed])
    with pytest.raises(SandboxError, match="other values"):
        client.handle.seed([{**seed, "provider": client.provider}])


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"vidu": ViduConfig(output="half")}, "vidu.output"),  # type: ignore[arg-type]
        ({"luma": LumaConfig(slots=0)}, "luma.slots"),
        ({"luma": LumaConfig(submit_status=204)}, "luma.submit_status"),
        ({"luma": LumaConfig(error_shape="soap")}, "luma.error_shape"),  # type: ignore[arg-type]
        ({"gateway": GatewayConfig(passes=frozenset({"model"}))}, "gateway.passes"),  # type: ignore[arg-type]
        ({"gateway": GatewayConfig(extra_accounts=(KeyAccount("x", "sandbox-gateway-key"),))}, "gateway.keys"),
        ({"gateway": GatewayConfig(run_time=(2, 1))}, "gateway.run_time"),
        ({"luma": LumaConfig(account="vidu")}, "account names"),
    ],
)
def test_an_invalid_config_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(SandboxError, match=reason):
        SandboxConfig(**config)


def test_a_state_from_before_the_three_surfaces_still_opens(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, SandboxConfig(run_time=(0, 0))) as handle:
        kling = Kling(handle)
        kling.extend(kling.source(video_id="old"), external_task_id="old-task")
        kling.http.close()
    with sqlite3.connect(tmp_path / "sandbox.sqlite") as db:
        db.execute("ALTER TABLE videos DROP COLUMN segment")
        db.execute("ALTER TABLE tasks DROP COLUMN details")
        db.execute("DROP TABLE source_urls")
    db.close()
    with running_sandbox(tmp_path, SandboxConfig(run_time=(0, 0))) as handle:
        kling = Kling(handle)
        assert kling.query("old-task")["task_status"] == "succeed"
        assert kling.extend("old", prompt="again")["task_status"] == "succeed"
        kling.http.close()


def test_all_surfaces_keep_their_state_over_a_restart(run: Any) -> None:
    before = run(Gateway)
    clients = [before, Vidu(before.handle), Luma(before.handle)]
    named = {"vidu": {"video_url": "https://example.org/film.mp4"}}
    made = [client.extend(client.source(**named.get(client.provider, {}))) for client in clients]
    before.handle.stop()
    after = run(Gateway)
    again = [after, Vidu(after.handle), Luma(after.handle)]
    for client, task_id in zip(again, made, strict=True):
        assert client.http.get(client.url(client.query(task_id))).status_code == 200
    assert again[1].submit("https://example.org/film.mp4", prompt="next").status_code == 200
    assert {row["charges"] for row in after.handle.charges()["by_account"].values()} == {0, 1, 2}
    for client in (*clients[1:], *again[1:]):
        client.http.close()


def test_a_hook_that_was_due_is_posted_after_a_restart(run: Any, receiver: tuple[str, Received]) -> None:
    url, received = receiver
    luma = run(Luma, luma=LumaConfig(run_time=(1000, 1000)))
    luma.extend(luma.source(), notify_hook=url)
    eventually(lambda: received)
    luma.handle.stop()
    luma = run(Luma, luma=LumaConfig(run_time=(1000, 1000)))
    luma.handle.set_offset(1001)
    eventually(lambda: any(json.loads(body)["state"] == "completed" for _, body in received))
    assert [json.loads(body)["state"] for _, body in received].count("completed") == 1
