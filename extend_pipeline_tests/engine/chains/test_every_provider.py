"""Videos of the three providers besides Kling go from the catalogue to the published lineage."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from sqlalchemy import select

from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.home import Pipeline, wall_ms
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.analysis import kept_frames
from extend_pipeline.media.check.probe import ValidFile, check_file
from extend_pipeline.sandbox.luma.settings import LumaConfig
from extend_pipeline.sandbox.vidu.settings import ViduConfig
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account, other_home, planted
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same


def attempts(pipeline: Pipeline) -> list[Any]:
    """Return all attempts, by video, hop and generation."""
    table = tables.attempts
    with pipeline.ledger.read() as connection:
        query = select(table).order_by(table.c.video_key, table.c.hop, table.c.claimed_at, table.c.seq)
        return list(connection.execute(query))


def published(home: EngineHome, table: str) -> list[dict[str, Any]]:
    """Return the rows of a published table."""
    with duckdb.connect(str(home.settings.warehouse_path), read_only=True) as connection:
        result = connection.execute(f"SELECT * FROM {table} ORDER BY ALL")
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def sums_are_the_providers(home: EngineHome, pipeline: Pipeline) -> int:
    """Assert that each account's committed units are what the sandbox charged it; return the number of charges."""
    book = {row["provider"]: row for row in home.sandbox.charges()["by_account"].values() if row["provider"] != "kling"}
    for account in status(pipeline).accounts:
        assert account.committed == Decimal(book[account.provider]["units"]) > 0, account
        assert book[account.provider]["double"] == 0
    return sum(row["charges"] for row in book.values())


def test_three_providers_go_from_the_catalogue_to_the_lineage_and_book_what_was_charged(home: EngineHome) -> None:
    targets: list[dict[str, Any]] = [{"steps": 2, "prompts": ["one", "two"]}, {"to": 12.0}]
    entries = [
        planted(home, provider, number, **target) for provider in OTHERS for number, target in enumerate(targets)
    ]
    home.write(entries, *(other_account(provider, home.sandbox.base_url) for provider in OTHERS))
    with home.open(wall_ms) as pipeline:
        report = advance_until_idle(pipeline, max_seconds=45)
        assert {video.key: video.state for video in report.videos} == {e["key"]: VideoState.COMPLETE for e in entries}
        assert status(pipeline).exit_code == 0
        totals = reckon(home, pipeline.ledger)
        rows = attempts(pipeline)
        assert totals.charges == totals.states["stored"] == len(rows) == sums_are_the_providers(home, pipeline) >= 12
        assert replays_to_the_same(pipeline.ledger, home.path) > 60
    kinds = {(row.provider, row.output_kind) for row in rows}
    assert kinds == {("kling-gateway", "full"), ("vidu", "full"), ("luma", "segment")}
    by_key = {video.key: video for video in report.videos}
    for entry in entries:
        lengths = [row.film_duration_ms or row.probed_duration_ms for row in rows if row.video_key == entry["key"]]
        assert lengths == sorted(set(lengths)), entry["key"]
        assert lengths[0] > 5_000
        assert by_key[entry["key"]].current_ms == lengths[-1]
        if "to" in entry["extend"]:
            assert lengths[-1] >= 11_900
    lineage = published(home, "lineage")
    assert {row["video_key"] for row in lineage} == {entry["key"] for entry in entries}
    assert len(published(home, "completed_extensions")) == len(rows)


@pytest.mark.parametrize("scratch_files", [1, 0], ids=["in one task with its examination", "in a task of its own"])
def test_a_luma_segment_is_kept_and_its_film_is_put_together_beside_it(
    home: EngineHome, scratch_files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_frames, "MAX_FILES", scratch_files)
    other_home(home, "luma", steps=3)
    with home.open() as pipeline:
        assert drive(pipeline, publish=True).videos[0].state is VideoState.COMPLETE
        rows = attempts(pipeline)
        assert [row.output_kind for row in rows] == ["segment"] * 3
        whole = 5_000
        for row in rows:
            segment, film = (pipeline.settings.media_dir / name for name in (row.path, row.film_path))
            assert row.sha256 != row.film_sha256
            assert isinstance(check_file(segment), ValidFile)
            assert isinstance(check_file(film), ValidFile)
            assert abs(row.film_duration_ms - whole - row.probed_duration_ms) <= 200
            whole = row.film_duration_ms
        assert reckon(home, pipeline.ledger).charges == 3
    completed = sorted(published(home, "completed_extensions"), key=lambda row: int(row["hop"]))
    assert [row["output_kind"] for row in completed] == ["segment"] * 3
    assert [row["path"] for row in completed] == [row.film_path for row in rows]
    assert [row["file_path"] for row in completed] == [row.path for row in rows]
    lineage = sorted(published(home, "lineage"), key=lambda row: int(row["hop"]))
    after = [row["duration_after_s"] for row in lineage]
    assert [int(length * 1000) for length in after] == [row.film_duration_ms for row in rows]


@pytest.mark.parametrize("batch", [False, True])
def test_a_luma_account_with_batch_queries_is_queried_once_for_all(batch: bool, home: EngineHome) -> None:
    other_home(home, "luma", 3)
    home.accounts(other_account("luma", home.sandbox.base_url, batch_query=batch))
    with home.open() as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 3
    by_route = home.sandbox.requests()["by_route"]
    together = by_route.get("POST /luma/tasks", 0)
    singly = sum(count for route, count in by_route.items() if route.startswith("GET /luma"))
    assert (together >= 1, singly) == (batch, 3 if batch else 6)  # each source is queried once


def test_a_changed_prompt_in_a_vidu_chain_pays_for_its_hop_and_those_after_it_only(home: EngineHome) -> None:
    (entry,) = other_home(home, "vidu", steps=3, prompts=["a", "b", "c"])
    with home.open() as pipeline:
        drive(pipeline)
        first = attempts(pipeline)
        assert reckon(home, pipeline.ledger).charges == 3
    entry["extend"]["prompts"] = ["a", "B", "c"]
    home.catalogue([entry])
    home.accounts(other_account("vidu", home.sandbox.base_url, on_change="pay"))
    with home.open() as pipeline:
        (video,) = drive(pipeline).videos
        assert (video.state, video.hops_done) == (VideoState.COMPLETE, 3)
        assert reckon(home, pipeline.ledger).charges == 5
        rows = attempts(pipeline)
    assert [row.hop for row in rows] == [1, 2, 2, 3, 3]
    assert rows[0].attempt_id == first[0].attempt_id
    anew = [row for row in rows if row.attempt_id not in {old.attempt_id for old in first}]
    assert [row.hop for row in anew] == [2, 3]
    assert anew[0].parent_attempt_id == first[0].attempt_id
    assert anew[1].parent_attempt_id == anew[0].attempt_id


@pytest.mark.parametrize("provider", ["vidu", "luma"])
def test_the_files_of_an_account_without_output_are_probed(provider: str, make_home: Callable[..., EngineHome]) -> None:
    home = make_home(vidu=ViduConfig(output="segment"), luma=LumaConfig(output="full"))
    other_home(home, provider, to=12.0)
    home.accounts(other_account(provider, home.sandbox.base_url, output="unknown"))
    with home.open() as pipeline:
        (video,) = drive(pipeline).videos
        rows = attempts(pipeline)
        assert {row.output_kind for row in rows} == {"segment" if provider == "vidu" else "full"}
        assert (video.state, len(rows)) == (VideoState.COMPLETE, 2)
        assert video.current_ms is not None
        assert 11_900 <= video.current_ms <= 18_000
        assert reckon(home, pipeline.ledger).charges == 2
