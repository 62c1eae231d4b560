"""A mistake in the catalogue or the accounts, or a file that is gone, stops submits alone: what is paid for is polled,
fetched, checked and published all the same, and the mistake is reported with exit code 2."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from extend_pipeline.cli import cli
from extend_pipeline.config.last_good import last_good_path
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.home import open_home
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.sandbox import SandboxConfig
from extend_pipeline_tests.support.home.engine_home import EngineHome, account, entry, source_id
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon
from extend_pipeline_tests.support.servers.postgres import PostgresServer

Break = Callable[[EngineHome], None]


def run(home: EngineHome, *arguments: str) -> Result:
    """Run one command in this process, with the home's ledger."""
    environment = {"EXTEND_PIPELINE_LEDGER_URL": home.ledger_url}
    return CliRunner().invoke(cli, ["--home", str(home.path), *arguments], env=environment)


def document(result: Result) -> Any:
    """Return what a command wrote with --json."""
    return json.loads(result.stdout)


def states(home: EngineHome) -> list[str]:
    """Return the states of all attempts, in the order of their hops."""
    ledger = open_ledger(home.ledger_url)
    try:
        with ledger.read() as connection:
            keys = [row.video_key for row in queries.videos(connection)]
            return [row.state for row in queries.attempts_of(connection, keys)]
    finally:
        ledger.close()


def video_states(home: EngineHome) -> set[str]:
    """Return the states of all videos."""
    ledger = open_ledger(home.ledger_url)
    try:
        with ledger.read() as connection:
            return {row.state for row in queries.videos(connection)}
    finally:
        ledger.close()


def _catalogue(content: bytes) -> Break:
    return lambda home: _put(home.path / "catalog.yaml", content)


def _accounts(content: bytes) -> Break:
    return lambda home: _put(home.path / "accounts.yaml", content)


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _gone(*names: str) -> Break:
    def remove(home: EngineHome) -> None:
        for name in names:
            (home.path / name).unlink()

    return remove


def _folder(name: str) -> Break:
    def replace(home: EngineHome) -> None:
        (home.path / name).unlink()
        (home.path / name).mkdir()

    return replace


def _half(name: str) -> Break:
    def cut(home: EngineHome) -> None:
        written = (home.path / name).read_bytes()
        (home.path / name).write_bytes(written[: len(written) // 2])

    return cut


def _misspelt(home: EngineHome) -> None:
    home.catalogue([{**entry("v000", source_id(0), steps=2), "extent": {}}])


def _of_an_account(**changes: Any) -> Break:
    return lambda home: home.accounts({**account(home.sandbox.base_url), **changes})


def _unnamed(home: EngineHome) -> None:
    written = account(home.sandbox.base_url)
    home.accounts({"nmae": written.pop("name"), **written})


def _replaced(home: EngineHome) -> None:
    home.accounts(account(home.sandbox.base_url, name="another"))


def _restore(home: EngineHome, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        if (home.path / name).is_dir():
            (home.path / name).rmdir()
        (home.path / name).write_bytes(content)


BREAKS: dict[str, Break] = {
    "catalogue gone": _gone("catalog.yaml"),
    "catalogue empty": _catalogue(b""),
    "catalogue half saved": _half("catalog.yaml"),
    "catalogue with a typo": _misspelt,
    "catalogue in UTF-16 without its mark": _catalogue("videos: []".encode("utf-16-le")),
    "catalogue a folder": _folder("catalog.yaml"),
    "catalogue full of zeros": _catalogue(bytes(200)),
    "accounts gone": _gone("accounts.yaml"),
    "accounts empty": _accounts(b""),
    "accounts half saved": _half("accounts.yaml"),
    "accounts a folder": _folder("accounts.yaml"),
    "account with a typo": _of_an_account(max_in_fligth=3),
    "account of an unknown provider": _of_an_account(provider="klng"),
    "account of another provider": _of_an_account(
        provider="luma",
        credentials={"api_key_env": "ENGINE_TEST_LUMA_KEY"},
        price={"unit": "credit", "per_extension": 1, "unit_price": 0.5, "currency": "USD"},
    ),
    "account without a name": _unnamed,
    "account taken out": _replaced,
    "both gone": _gone("catalog.yaml", "accounts.yaml"),
}


WALKED = {
    "sqlite": ("catalogue with a typo", "accounts half saved", "account of another provider", "account taken out"),
    "postgresql": ("catalogue half saved", "both gone"),
}


def test_every_mistake_in_a_file_is_reported_and_hides_no_account_and_no_video(home: EngineHome) -> None:
    home.seeded(1, steps=2)
    run(home, "advance")
    contents = {name: (home.path / name).read_bytes() for name in ("catalog.yaml", "accounts.yaml")}
    for name, spoil in BREAKS.items():
        spoil(home)
        with open_home(home.settings) as pipeline:
            assert pipeline.configuration.problems, name
            assert pipeline.accounts["k"].provider == "kling", name
            assert pipeline.budget_limits() == {}, name
            assert declare_catalogue(pipeline).withdrawn == (), name
            assert plan(plan_input(pipeline)).due == (), name
        _restore(home, contents)
    with open_home(home.settings) as pipeline:
        assert not pipeline.configuration.problems


@pytest.mark.parametrize(("database", "broken"), WALKED.items())
def test_paid_attempts_are_polled_fetched_and_published_and_nothing_is_submitted(
    database: str, broken: Sequence[str], make_home: Callable[..., EngineHome], postgres: PostgresServer
) -> None:
    home = make_home(ledger_url=postgres.new_ledger("mistakes") if database == "postgresql" else None)
    home.seeded(1, steps=len(broken) + 1)
    contents = {name: (home.path / name).read_bytes() for name in ("catalog.yaml", "accounts.yaml")}
    for done, name in enumerate(broken):
        run(home, "advance")
        assert states(home) == ["stored"] * done + ["submitted"], name
        BREAKS[name](home)
        _assert_open_attempt_stored(home, name, done=done)
        _restore(home, contents)
    last = run(home, "advance", "--until-idle", "--max-seconds", "60")
    assert last.exit_code == 0, last.output
    _assert_charges(home, charges=len(broken) + 1)


@pytest.mark.parametrize("provider", OTHERS)
def test_paid_attempts_of_every_provider_are_stored_without_the_files(provider: str, home: EngineHome) -> None:
    other_home(home, provider)
    run(home, "advance")
    while "submitted" not in states(home):
        assert run(home, "advance").exit_code == 0  # a source may have to be measured first
    _gone("accounts.yaml", "catalog.yaml")(home)
    _assert_open_attempt_stored(home, provider, done=0)


def _assert_open_attempt_stored(home: EngineHome, name: str, *, done: int) -> None:
    """Assert that a home with a mistake stores its one open attempt, after `done` stored ones, and submits nothing."""
    before = len(home.sandbox.charges()["charges"])
    result = run(home, "advance", "--until-idle", "--max-seconds", "60", "--json")
    report = document(result)
    assert (result.exit_code, bool(report["mistakes"])) == (2, True), (name, result.output)
    assert (report["did"]["stored"], report["did"]["submitted"]) == (1, 0), (name, result.output)
    assert states(home) == ["stored"] * (done + 1), name
    assert VideoState.WITHDRAWN.value not in video_states(home), name
    with duckdb.connect(home.settings.warehouse_path, read_only=True) as warehouse:
        assert warehouse.execute("SELECT count(*) FROM completed_extensions").fetchone() == (done + 1,), name
    assert len(home.sandbox.charges()["charges"]) == before, name


def _assert_charges(home: EngineHome, *, charges: int) -> None:
    ledger = open_ledger(home.ledger_url)
    try:
        assert reckon(home, ledger).charges == charges
    finally:
        ledger.close()


def test_every_command_works_as_far_as_it_can_and_ends_with_2(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    run(home, "advance", "--until-idle")
    _half("accounts.yaml")(home)
    verbs = (("status",), ("publish",), ("pause", "--why", "x"), ("resume",), ("doctor", "--offline"), ("reconcile",))
    for verb in verbs:
        assert run(home, *verb).exit_code == 2, verb
    query = "FROM completed_extensions"
    assert run(home, "sql", query).exit_code == 0
    assert run(home, "resolve", "v000/1", "write-off", "--yes").exit_code == 2


def test_the_last_good_accounts_are_kept_without_secrets_and_until_the_last_task_has_ended(home: EngineHome) -> None:
    entries = home.seeded(1, steps=1)
    run(home, "advance")
    path = last_good_path(home.settings.state_dir)
    text = path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o077 == 0
    assert "ENGINE_TEST_ACCESS_KEY" in text
    assert SandboxConfig().secret_key not in text
    home.write([], account(home.sandbox.base_url, name="another"))
    report = document(run(home, "advance", "--until-idle", "--json"))
    assert [row["account"] for row in report["accounts"]] == ["another", "k"]
    assert (report["mistakes"], states(home)) == ([], ["stored"])
    later = document(run(home, "advance", "--json"))
    assert [row["account"] for row in later["accounts"]] == ["another"]
    assert "name: k\n" not in path.read_text(encoding="utf-8")
    assert entries


def test_another_ledger_drops_no_account_that_has_tasks_under_way(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    run(home, "advance")
    home.write([], account(home.sandbox.base_url, name="another"))
    with open_home(EngineHome(home.path, home.sandbox, f"sqlite:///{home.path}/typo.sqlite").settings) as pipeline:
        assert set(pipeline.accounts) == {"another"}
    run(home, "advance", "--until-idle")
    assert states(home) == ["stored"]


def test_a_home_whose_accounts_were_never_kept_reports_the_unknown_account(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    run(home, "advance")
    last_good_path(home.settings.state_dir).unlink()
    (home.path / "accounts.yaml").unlink()
    result = run(home, "status", "--json")
    assert result.exit_code == 2
    assert document(result)["unknown_accounts"] == [{"account": "k", "attempts": 1}]
    assert run(home, "advance", "--until-idle").exit_code == 2
    assert states(home) == ["submitted"]


def test_a_fresh_home_with_mistakes_is_left_untouched(home: EngineHome) -> None:
    home.write([{"key": "v"}])
    for verb in ("advance", "status", "publish", "callbacks"):
        assert run(home, verb).exit_code == 2
    assert not (home.path / "state").exists()
