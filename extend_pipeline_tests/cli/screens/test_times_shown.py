"""Screens show times and days in the home's `timezone` and name it; documents for programs stay in UTC."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from extend_pipeline.base.days import day_of
from extend_pipeline.engine.home import wall_ms
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import video
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

ZONE = "Asia/Kathmandu"  # +05:45, no machine is in it
OFFSET = "+05:45"


def set_zone(cli: Cli, zone: str) -> None:
    path = cli.home / "accounts.yaml"
    path.write_text(json.dumps({"timezone": zone, **json.loads(path.read_text())}))


def test_screens_follow_the_zone_and_say_so_and_documents_stay_utc(home_of: Callable[..., Cli]) -> None:
    cli = home_of(video("one", extend={"steps": 1}))
    plain = cli("plan")
    assert OFFSET not in plain.output
    set_zone(cli, ZONE)
    day = day_of(wall_ms(), ZONE)[:10]
    worked = cli("advance", "--until-idle")
    assert worked.exit_code == 0, worked.output
    for verb in ("plan", "status"):
        shown = cli(verb)
        line = line_with(shown.output, ZONE)
        assert day in line
        check_user_text(line, without={day: "DAY"})
        assert f"00:00 {OFFSET}" in shown.output
        document = cli.json(verb)
        assert document["timezone"] == ZONE
    assert cli.json("plan")["as_of"].endswith("Z")

    table = cli("sql", "SELECT day, timezone FROM cost_by_day")
    assert (day in table.output, ZONE in table.output) == (True, True)
    moment = "SELECT stored_at FROM completed_extensions"
    assert OFFSET in cli("sql", moment).output
    assert OFFSET in cli("sql", moment, "--csv").output
    ((stored,),) = cli.json("sql", moment)["rows"]
    assert stored.endswith("Z")
    ((local_day,),) = cli.json("sql", "SELECT CAST(stored_at AS DATE) FROM completed_extensions")["rows"]
    assert local_day == day


@pytest.mark.parametrize("zone", ["Asia/Shangai", "CST"])
def test_an_unknown_zone_is_refused_and_nothing_is_submitted(home_of: Callable[..., Cli], zone: str) -> None:
    cli = home_of(video("one", extend={"steps": 1}))
    set_zone(cli, zone)
    for verb in ("plan", "advance", "doctor"):
        refused = cli(verb)
        assert refused.exit_code == 2, refused.output
        check_user_text(line_with(refused.output, "accounts.yaml:1: "))
