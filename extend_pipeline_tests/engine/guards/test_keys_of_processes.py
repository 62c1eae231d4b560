"""A variable that is missing is one process's own matter; a key that the provider refuses stops the account, and a
success with another key starts it again. Two shells on one home, all kinds of credentials, SQLite and PostgreSQL."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from extend_pipeline.cli import cli
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.read import queries
from extend_pipeline_tests.support.home.engine_home import KEY_ENVS, SECRET_ENV, EngineHome
from extend_pipeline_tests.support.home.every_provider import other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.servers.postgres import PostgresServer

VARIABLES = {"kling": SECRET_ENV, **KEY_ENVS}
WRONG = "a-key-that-no-sandbox-knows-0123456789"
UNTIL_IDLE = ("advance", "--until-idle", "--max-seconds", "60", "--json")
UNASKED_S = 30.0  # a process that has nothing to wait for ends long before its time is up


def shell(home: EngineHome, *arguments: str, keys: Mapping[str, str | None] | None = None) -> Result:
    """Run one command as in a shell of its own; `keys` replace those of the other shells, None is unset."""
    environment = {"EXTEND_PIPELINE_LEDGER_URL": home.ledger_url, **(keys or {})}
    return CliRunner().invoke(cli, ["--home", str(home.path), *arguments], env=environment)


def document(result: Result) -> Any:
    """Return what a command wrote with --json."""
    return json.loads(result.stdout)


def stopped(home: EngineHome) -> dict[str, str | None]:
    """Return why each account is stopped."""
    ledger = open_ledger(home.ledger_url)
    try:
        with ledger.read() as connection:
            return {name: row.stopped_reason for name, row in queries.accounts(connection).items()}
    finally:
        ledger.close()


def events(home: EngineHome) -> Counter[str]:
    """Return how many events of each kind there are."""
    ledger = open_ledger(home.ledger_url)
    try:
        with ledger.read() as connection:
            return Counter(connection.execute(select(tables.events.c.kind)).scalars())
    finally:
        ledger.close()


def charges(home: EngineHome) -> int:
    """Compare the ledger with the sandbox's charges and with a replay of its events; return the number of charges."""
    ledger = open_ledger(home.ledger_url)
    try:
        return reckon(home, ledger).charges
    finally:
        ledger.close()


def planted(home: EngineHome, provider: str) -> str:
    """Plant one video of one hop for one account; return the account's name."""
    if provider == "kling":
        home.seeded(1)
        return "k"
    other_home(home, provider)
    return provider


_databases = itertools.count()


@pytest.fixture(params=["kling", "kling-gateway on PostgreSQL", "vidu", "luma on PostgreSQL"])
def place(
    request: pytest.FixtureRequest, make_home: Callable[..., EngineHome], postgres: PostgresServer
) -> tuple[EngineHome, str, str]:
    """Return a home, its account and the variable of its key."""
    provider, _, database = request.param.partition(" on ")
    ledger_url = postgres.new_ledger(f"keys_{next(_databases)}") if database else None
    home = make_home(ledger_url=ledger_url)
    return home, planted(home, provider), VARIABLES[provider]


def test_a_shell_without_the_key_leaves_the_account_to_the_other_shell(
    place: tuple[EngineHome, str, str],
) -> None:
    home, name, variable = place
    lacking = {variable: None}
    for round_number in range(2):  # before the first submit, and while a task runs
        began = time.monotonic()
        without = shell(home, *UNTIL_IDLE, keys=lacking)
        report = document(without)
        assert time.monotonic() - began < UNASKED_S
        assert without.exit_code == 2, without.output
        assert len(report["left_alone"]) == 1
        assert variable in report["left_alone"][0]
        assert variable in without.stderr
        assert report["did"]["submitted"] == report["did"]["refused"] == 0
        assert stopped(home).get(name) is None
        if round_number == 0:
            assert events(home)["attempt_claimed"] == 0
            while not events(home)["attempt_submitted"]:  # a source may have to be measured first
                shell(home, "advance")
    assert events(home)["attempt_claimed"] == 1
    assert shell(home, "status", keys=lacking).exit_code == 0
    done = shell(home, *UNTIL_IDLE)
    assert done.exit_code == 0, done.output
    assert charges(home) == 1


@pytest.mark.parametrize("place", ["kling", "luma on PostgreSQL"], indirect=True)
def test_only_the_providers_refusal_stops_an_account_and_another_key_resumes_it(
    place: tuple[EngineHome, str, str],
) -> None:
    home, name, variable = place
    wrong = {variable: WRONG}
    shell(home, "advance")  # what needs no key of this hop's submit, such as the source, is there
    while not events(home)["attempt_submitted"]:
        shell(home, "advance")
    shell(home, "advance", "--max-seconds", "1", keys=wrong)
    assert stopped(home)[name] in ("auth", "forbidden")
    assert shell(home, *UNTIL_IDLE).exit_code == 0
    assert stopped(home)[name] is None
    assert charges(home) == 1
    event_counts = events(home)
    assert (event_counts["account_stopped"], event_counts["key_refused"], event_counts["key_accepted"]) == (1, 1, 1)
    ledger = open_ledger(home.ledger_url)
    try:
        with ledger.read() as connection:
            event_data = " ".join(connection.execute(select(tables.events.c.data)).scalars())
            marks = queries.accounts(connection)[name].refused_keys
    finally:
        ledger.close()
    assert WRONG not in event_data
    assert marks


def test_a_refused_submit_is_made_with_an_accepted_key_though_nothing_is_in_flight(home: EngineHome) -> None:
    home.seeded(1)
    wrong = {SECRET_ENV: WRONG}
    refused = shell(home, *UNTIL_IDLE, keys=wrong)
    assert (refused.exit_code, stopped(home)["k"]) == (1, "auth")
    again = shell(home, *UNTIL_IDLE, keys=wrong)
    assert (again.exit_code, events(home)["key_refused"], events(home)["account_stopped"]) == (1, 1, 1)
    shell(home, "pause", "k", "--why", "lunch")
    assert shell(home, *UNTIL_IDLE).exit_code == 1
    ledger = open_ledger(home.ledger_url)
    try:
        with ledger.read() as connection:
            row = queries.accounts(connection)["k"]
    finally:
        ledger.close()
    assert (row.paused, row.stopped_reason) == (True, None)
    shell(home, "resume", "k")
    assert shell(home, *UNTIL_IDLE).exit_code == 0
    assert charges(home) == 1


def test_a_key_that_is_known_to_be_refused_claims_nothing_and_stops_no_account_again(home: EngineHome) -> None:
    home.seeded(1)
    wrong = {SECRET_ENV: WRONG}
    shell(home, "advance", keys=wrong)
    shell(home, "advance", "--max-seconds", "0")
    while not events(home)["key_accepted"]:
        shell(home, "advance")
    home.seeded(2)
    claimed = events(home)["attempt_claimed"]
    held = shell(home, "advance", "--json", keys=wrong)
    (new,) = [video for video in document(held)["videos"] if video["video"] == "v001"]
    assert new["obstacle"]["kind"] == "no_key"
    assert (events(home)["attempt_claimed"], stopped(home)["k"]) == (claimed, None)
    assert shell(home, *UNTIL_IDLE).exit_code == 0
    assert charges(home) == 2
