"""Generated homes: what makes them fit to be measured is that the engine finds them as if it had worked for them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from benchmarks.generate.build import Wanted, build_home
from benchmarks.generate.home import ACCESS_ENV, SECRET_ENV, write_accounts
from benchmarks.generate.load import LedgerNotEmptyError
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import open_home, wall_ms
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.sandbox import SandboxConfig
from extend_pipeline.sandbox.server import running_sandbox
from extend_pipeline.warehouse.read import reading
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same

NOW_MS = 1_796_000_000_000
WANTED = Wanted(videos=6, hops=2, open_videos=2, accounts=2, days=3, now_ms=NOW_MS)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SandboxConfig()
    monkeypatch.setenv(ACCESS_ENV, config.access_key)
    monkeypatch.setenv(SECRET_ENV, config.secret_key)


def settings_of(home: Path, ledger_url: str = "sqlite:///{home}/state/ledger.sqlite") -> Settings:
    return Settings(home=home, ledger_url=ledger_url, min_free_bytes=0, result_bytes=0)


def all_events(ledger: Ledger) -> list[Any]:
    with ledger.read() as connection:
        return [tuple(row) for row in connection.execute(select(tables.events).order_by(tables.events.c.seq))]


def test_invariants_hold_and_a_replay_gives_the_same(ledger_url: str, tmp_path: Path) -> None:
    events = build_home(settings_of(tmp_path / "home", ledger_url), WANTED)
    with closing(open_ledger(ledger_url)) as ledger:
        assert check_invariants(ledger) == []
        assert replays_to_the_same(ledger, tmp_path) == events == len(all_events(ledger))
        with ledger.read() as connection:
            states = Counter(connection.execute(select(tables.attempts.c.state)).scalars())
            in_flight = dict(connection.execute(select(tables.accounts.c.account, tables.accounts.c.in_flight)).all())
    assert states == {"stored": 10, "submitted": 2}
    assert in_flight == {"bench-1": 1, "bench-2": 1}
    with pytest.raises(LedgerNotEmptyError):
        build_home(settings_of(tmp_path / "home", ledger_url), WANTED)


def test_the_same_seed_and_time_give_the_same_history(tmp_path: Path) -> None:
    histories = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        settings = settings_of(tmp_path / name)
        build_home(settings, dataclasses.replace(WANTED, seed=seed))
        with closing(open_ledger(settings.ledger_url)) as ledger:
            histories.append(all_events(ledger))
    assert histories[0] == histories[1] != histories[2]


def test_a_round_over_finished_videos_writes_nothing_but_the_warehouse(ledger_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home", ledger_url)
    events = build_home(settings, dataclasses.replace(WANTED, open_videos=0))
    with open_home(settings, now_ms=lambda: NOW_MS) as pipeline:
        assert advance(pipeline).did_something is False
        assert {video.state.value for video in plan(plan_input(pipeline)).videos} == {"complete"}
        assert len(all_events(pipeline.ledger)) == events
    with reading(settings.warehouse_path) as warehouse:
        assert warehouse.sql("SELECT count(*), count(DISTINCT video_key) FROM completed_extensions").fetchall() == [
            (12, 6)
        ]


def test_what_is_in_flight_comes_in_from_the_planted_sandbox(ledger_url: str, tmp_path: Path) -> None:
    settings, sandbox = settings_of(tmp_path / "home", ledger_url), tmp_path / "sandbox"
    wanted = dataclasses.replace(WANTED, now_ms=wall_ms(), sandbox=sandbox, runs_for_s=0)
    build_home(settings, wanted)
    with running_sandbox(sandbox, SandboxConfig(share_media=True)) as upstream:
        write_accounts(settings.home, WANTED.accounts, url=upstream.base_url)
        with open_home(settings) as pipeline:
            stored = advance(pipeline, publish=False).collected.stored
            assert sorted(stored) == ["v0000004/2", "v0000005/2"]
            assert {video.state.value for video in plan(plan_input(pipeline)).videos} == {"complete"}
            assert check_invariants(pipeline.ledger) == []
            with pipeline.ledger.read() as connection:
                kinds = set(connection.execute(select(tables.attempts.c.output_kind)).scalars())
    assert kinds == {"full"}
