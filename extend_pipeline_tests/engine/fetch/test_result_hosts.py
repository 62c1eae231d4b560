"""Results of hosts that an account's rules refuse are reported at once, and fetched once the rules are fixed; and how
long a provider must refuse a result before it is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from extend_pipeline.cli import cli
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.fetch.retention import Urgency, ending_now
from extend_pipeline.engine.status import status
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, drive
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.user_texts import check_user_text

HOUR_MS = 3_600_000


def doctor(home: EngineHome) -> list[dict[str, Any]]:
    """Return doctor's findings."""
    env = {"EXTEND_PIPELINE_LEDGER_URL": home.ledger_url}
    result = CliRunner().invoke(cli, ["--home", str(home.path), "doctor", "--offline", "--json"], env=env)
    return list(json.loads(result.stdout)["findings"])


def test_doctor_names_the_hosts_that_results_came_from(home: EngineHome, ledger_url: str) -> None:
    home.ledger_url = ledger_url
    home.seeded(2)
    with home.open() as pipeline:
        drive(pipeline)
        assert reckon(home, pipeline.ledger).states == {"stored": 2}
    [hosts] = [finding["message"] for finding in doctor(home) if "http://127.0.0.1 (2)" in finding["message"]]
    check_user_text(hosts)


def test_a_result_that_our_rules_refuse_is_reported_at_once_and_fetched_once_they_are_fixed(
    home: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr("extend_pipeline.providers.http.download.is_loopback_host", lambda _host: False)
            for _ in range(3):
                advance(pipeline, publish=False)
                clock.skip(60_000)
            assert [ending.urgency for ending in ending_now(pipeline)] == [Urgency.SOON]
            [warning] = [
                totals for totals in doctor(home) if (totals["level"], totals["check"]) == ("warning", "account k")
            ]
            check_user_text(warning["message"])
            [video] = status(pipeline).plan.videos
            assert video.blocker is not None
            assert video.blocker.reason is BlockReason.NOT_FETCHED
        drive(pipeline)
        totals = reckon(home, pipeline.ledger)
    assert (totals.charges, totals.states) == (1, {"stored": 1})


def test_vidus_host_must_refuse_for_hours_before_a_paid_result_is_lost(home: EngineHome) -> None:
    other_home(home, "vidu")
    home.options["lost_after_s"] = 6 * 3600
    home.sandbox.faults([{"kind": "expired_url", "where": "download", "skip": 1, "match": {"provider": "vidu"}}])
    clock = JumpClock()
    with home.open(clock) as pipeline:
        began = clock()
        for _ in range(200):
            now = advance(pipeline, publish=False)
            if now.collected.lost:
                break
            if clock() - began > 60_000:
                assert [ending.urgency for ending in ending_now(pipeline)] == [Urgency.SOON]
            clock.skip(600_000)
        assert 6 * HOUR_MS <= clock() - began <= 8 * HOUR_MS
        [video] = status(pipeline).plan.videos
        assert video.blocker is not None
        assert video.blocker.reason is BlockReason.RESULT_LOST
        assert reckon(home, pipeline.ledger).charges == 1
