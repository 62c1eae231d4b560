"""A home of an earlier version goes on as it is: no step has another name, and nothing is bought again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import column, insert, inspect, select
from sqlalchemy import table as named

from extend_pipeline.engine.home import wall_ms
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import database, tables
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import VideoState
from extend_pipeline_tests.support import homes_of_before
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, drive
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account
from extend_pipeline_tests.support.ledger.quick_ledgers import REALLY_MIGRATED
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same

pytestmark = getattr(pytest.mark, REALLY_MIGRATED)

_A_TIME = re.compile(r"(?<![0-9])1[78][0-9]{11}(?![0-9])")  # milliseconds of UTC


def _read() -> dict[str, Any]:
    """Read the home, with its times moved so that it was written an hour ago: sources and results have an end."""
    text = (Path(homes_of_before.__file__).parent / "schema_0003.json").read_text(encoding="utf-8")
    last = max(row["at"] for row in json.loads(text)["tables"]["events"])
    later = wall_ms() - 3_600_000 - last
    home: dict[str, Any] = json.loads(_A_TIME.sub(lambda match: str(int(match[0]) + later), text))
    for entry in home["catalogue"]:
        if "video_id" in entry["source"]:
            entry["source"]["exact"] = True  # the first source's id ends in zeros
    return home


BEFORE = _read()


@pytest.fixture
def old_home(make_home: Callable[..., EngineHome], ledger_url: str) -> EngineHome:
    """Return a home whose ledger an earlier version wrote; its sandbox knows the last films as sources."""
    home = make_home(ledger_url=ledger_url, seed=7)  # which assigns other ids
    ledger = Ledger(ledger_url)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with ledger.engine.connect() as connection:
        connection.info["mode"] = "write"
        with connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "0003")
            for name, rows in BEFORE["tables"].items():
                columns = [column_facts["name"] for column_facts in inspect(connection).get_columns(name)]
                target = named(name, *map(column, columns))
                if rows:
                    connection.execute(insert(target), rows)
    ledger.close()
    stored = [row for row in BEFORE["tables"]["attempts"] if row["hop"] == 2 and row["provider"] == "kling"]
    home.sandbox.seed([{"video_id": row["video_id"], "duration": row["probed_duration_ms"] / 1000} for row in stored])
    lay_files(home)
    write(home, BEFORE["catalogue"])
    return home


def lay_files(home: EngineHome) -> None:
    """Lay files of the right names and lengths into the media store; their content is not read here."""
    rows = [(row["path"], row["bytes"]) for row in BEFORE["tables"]["attempts"]]
    rows += [(row["film_path"], 1) for row in BEFORE["tables"]["attempts"]]
    rows += [(row["source_path"], 1) for row in BEFORE["tables"]["videos"]]
    for relative, size in rows:
        if relative is not None:
            path = home.settings.media_dir / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(size or 1))


def write(home: EngineHome, entries: list[dict[str, Any]]) -> None:
    """Write the files of that home, pointed at this sandbox."""
    url = home.sandbox.base_url
    home.write(entries, account(url), *(other_account(provider, url) for provider in OTHERS))


def longer(written: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the entry with one hop more and other changes."""
    return {**written, "extend": {**written["extend"], "steps": 3, **changes}}


def test_no_step_has_another_name_and_nothing_is_due(old_home: EngineHome, tmp_path: Path) -> None:
    with old_home.open() as pipeline:
        videos = pipeline.configuration.catalogue.videos
        paid = {(row["video_key"], row["hop"]): row["chain_digest"] for row in BEFORE["tables"]["attempts"]}
        for (key, hop), digest in paid.items():
            assert chain.digests(videos[key], hop, videos=videos)[hop] == digest
        planned = plan(plan_input(pipeline))
        assert planned.due == ()
        states = {video.key: video.state for video in planned.videos}
        assert {key for key, state in states.items() if state is VideoState.COMPLETE} == {
            "harbour",
            "bridge",
            "kling-gateway-0",
            "luma-0",
        }
        assert not any(video.edit for video in planned.videos)
        assert check_invariants(pipeline.ledger) == []
        replays_to_the_same(pipeline.ledger, tmp_path)
        with pipeline.ledger.read() as connection:
            keys = connection.execute(select(tables.attempts.c.words, tables.attempts.c.purchase))
            assert all(row.words and row.purchase for row in keys)


def test_a_longer_target_buys_the_next_hop_only(old_home: EngineHome) -> None:
    write(old_home, [longer(entry) for entry in BEFORE["catalogue"][:2]])
    with old_home.open() as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert check_invariants(pipeline.ledger) == []
    assert len(old_home.sandbox.charges()["charges"]) == 2


def test_edits_of_its_paid_steps_are_questions_like_any(old_home: EngineHome) -> None:
    harbour, bridge = BEFORE["catalogue"][:2]
    again = {**harbour, "key": "copy"}
    write(old_home, [longer(harbour, prompt="the fog lifts."), bridge, again])
    with old_home.open() as pipeline:
        held = [video.blocker.reason.value if video.blocker else "" for video in drive(pipeline).videos]
    assert held == ["repurchase", "", "same_purchase"]
    assert len(old_home.sandbox.charges()["charges"]) == 0
