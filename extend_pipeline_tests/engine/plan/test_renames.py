"""A new name never pays again: what was bought under the old one is asked about, or goes on under the new one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.load import load_configuration
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.guards.ledger_look import accept
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.submit.prepare import claim_request
from extend_pipeline.engine.submit.submit import submit_due
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.ledger.write.claims import claim
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.support.home.engine_home import (
    ACCESS_ENV,
    SECRET_ENV,
    EngineHome,
    account,
    branch,
    drive,
    entry,
    source_id,
)
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_account, planted
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.ledger.steps import NOON
from extend_pipeline_tests.support.user_texts import check_user_text

EVERY = ("kling", *OTHERS)


def charges(home: EngineHome) -> int:
    """Return the number of the sandbox's charges."""
    return len(home.sandbox.charges()["charges"])


def block_reasons(planned: Plan) -> list[BlockReason | None]:
    """Return what each video waits for, in the order of the catalogue."""
    return [None if video.blocker is None else video.blocker.reason for video in planned.videos]


def finished(home: EngineHome, provider: str = "kling", *, steps: int = 2) -> dict[str, Any]:
    """Finish one video `v000` of a provider; return its entry."""
    if provider == "kling":
        (written,) = home.seeded(1, steps=steps, prompt="a")
    else:
        written = planted(home, provider, 0, key="v000", steps=steps)
        home.write([written], account_of(home, provider))
    with home.open() as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
    assert charges(home) == steps
    return written


def account_of(home: EngineHome, provider: str, **changes: Any) -> dict[str, Any]:
    """Return the account that `finished` uses, with some fields replaced."""
    if provider == "kling":
        return account(home.sandbox.base_url, **changes)
    return other_account(provider, home.sandbox.base_url, **changes)


@pytest.mark.parametrize("provider", EVERY)
def test_a_renamed_key_is_a_question_and_goes_on_with_was(
    make_home: Callable[..., EngineHome], ledger_url: str, provider: str, tmp_path: Path
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, provider)
    home.catalogue([{**written, "key": "new"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE]
    assert charges(home) == 2
    longer = {**written["extend"], "steps": 3}
    home.catalogue([{**written, "key": "new", "was": "v000", "extend": longer}])
    with home.open() as pipeline:
        looked_at = plan(plan_input(pipeline)).videos[0]  # before anything is written to the ledger
        assert (looked_at.hops_done, looked_at.due is not None) == (2, True)
        assert [video.state for video in drive(pipeline).videos] == [VideoState.COMPLETE]
        assert reckon(home, pipeline.ledger).charges == 3
        with pipeline.ledger.read() as connection:
            keys = set(connection.execute(select(tables.attempts.c.video_key)).scalars())
            videos = list(connection.execute(select(tables.videos.c.video_key)).scalars())
            spent = set(connection.execute(select(tables.charges.c.video_key)).scalars())
        assert (keys, videos, spent) == ({"new"}, ["new"], {"new"})
        replays_to_the_same(pipeline.ledger, tmp_path)
    home.catalogue([{**written, "key": "new", "extend": longer}])  # `was` is no longer needed
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None]
    assert charges(home) == 3


@pytest.mark.parametrize("provider", EVERY)
def test_a_misspelt_was_beside_an_edit_is_a_question(
    make_home: Callable[..., EngineHome], ledger_url: str, provider: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, provider)
    edited = {**written, "key": "new", "extend": {**written["extend"], "prompt": "another"}}
    home.catalogue([{**edited, "was": "v00"}])
    with home.open() as pipeline:
        planned = drive(pipeline)
        assert block_reasons(planned) == [BlockReason.SAME_PURCHASE]
        blocker = planned.videos[0].blocker
        assert blocker is not None
        assert "was: v000" in blocker.todo
        check_user_text(f"{blocker.message}\n{blocker.todo}")
    assert charges(home) == 2
    home.catalogue([{**edited, "was": "v000"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.REPURCHASE]
    assert charges(home) == 2


def test_a_misspelt_was_is_a_question_also_beside_a_url_that_is_signed_anew(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, "vidu")
    signed = {**written["source"], "video_url": f"{written['source']['video_url']}?x-amz-signature=2"}
    edited = {**written, "key": "new", "was": "v00", "source": signed}
    home.catalogue([{**edited, "extend": {**written["extend"], "prompt": "another"}}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE]
    assert charges(home) == 2


def test_another_film_of_the_same_source_needs_no_was(make_home: Callable[..., EngineHome], ledger_url: str) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home)
    edited = {**written, "key": "new", "extend": {**written["extend"], "prompt": "another"}}
    home.catalogue([{**edited, "was": "v00"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE]
    home.catalogue([written, {**edited, "was": "v00"}])  # the other one is still there: nothing was renamed
    with home.open() as pipeline:
        assert block_reasons(plan(plan_input(pipeline))) == [None, None]
    home.catalogue([edited])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None]
    assert charges(home) == 4


@pytest.mark.parametrize("provider", EVERY)
def test_a_renamed_account_is_a_question_and_goes_on_with_was(
    make_home: Callable[..., EngineHome], ledger_url: str, provider: str, tmp_path: Path
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, provider)
    old = written["account"]
    entries = [{**written, "account": "new"}]
    home.write(entries, account_of(home, provider, name="new"))
    with home.open() as pipeline:
        planned = drive(pipeline)
        assert block_reasons(planned) == [BlockReason.SAME_PURCHASE]
        blocker = planned.videos[0].blocker
        assert blocker is not None
        assert f"was: {old}" in blocker.todo
    assert charges(home) == 2
    home.write(
        [{**entries[0], "extend": {**written["extend"], "steps": 3}}], account_of(home, provider, name="new", was=old)
    )
    with home.open() as pipeline:
        assert plan(plan_input(pipeline)).videos[0].hops_done == 2
        assert [video.state for video in drive(pipeline).videos] == [VideoState.COMPLETE]
        assert reckon(home, pipeline.ledger).charges == 3
        with pipeline.ledger.read() as connection:
            names = {
                name
                for table in (tables.attempts, tables.charges, tables.accounts, tables.account_days, tables.videos)
                for name in connection.execute(select(table.c.account)).scalars()
            }
        assert names == {"new"}
        replays_to_the_same(pipeline.ledger, tmp_path)
    assert charges(home) == 3


@pytest.mark.parametrize("provider", EVERY)
def test_a_copy_of_an_entry_is_a_question_and_bought_with_again(
    make_home: Callable[..., EngineHome], ledger_url: str, provider: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    written = finished(home, provider)
    home.catalogue([written, {**written, "key": "copy"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, BlockReason.SAME_PURCHASE]
    assert charges(home) == 2
    home.catalogue([written, {**written, "key": "copy", "again": True}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
        assert check_invariants(pipeline.ledger) == []
    assert charges(home) == 4


def test_two_equal_entries_are_bought_once(home: EngineHome) -> None:
    (written,) = home.seeded(1, steps=1, prompt="a")
    home.catalogue([written, {**written, "key": "copy", "extend": {"steps": 1, "prompt": "a "}}])
    with home.open() as pipeline:
        assert block_reasons(plan(plan_input(pipeline))) == [None, BlockReason.SAME_PURCHASE]
        assert block_reasons(drive(pipeline)) == [None, BlockReason.SAME_PURCHASE]
    assert charges(home) == 1


def test_many_equal_entries_reserve_no_slot_and_no_budget_of_others(home: EngineHome) -> None:
    entries = home.seeded(2, steps=1, prompt="a")
    copies = [{**entries[0], "key": f"copy{number}"} for number in range(5)]
    one_slot = account(home.sandbox.base_url, max_in_flight=1)
    home.write([entries[0], *copies, entries[1]], one_slot)
    with home.open() as pipeline:
        drive(pipeline)
    assert charges(home) == 2


def test_the_claim_refuses_what_another_video_has_bought_meanwhile(
    make_home: Callable[..., EngineHome], ledger_url: str
) -> None:
    home = make_home(ledger_url=ledger_url)
    (written,) = home.seeded(1, steps=1, prompt="a")
    with home.open() as first:
        advance(first, submit=False, publish=False)
        home.catalogue([{**written, "key": "copy"}, written])
        with home.open() as second:
            advance(second, submit=False, publish=False)
            steps = [plan(plan_input(pipeline)).due[0] for pipeline in (first, second)]
            requests = [claim_request(p, step) for p, step in zip((first, second), steps, strict=True)]
            with first.ledger.write(now_ms=NOON, actor="both") as tx:
                result = claim(tx, requests, caps=first.budget_limits(), owner="both", lease_until=NOON + 1000)
    assert [request.video_key for request in result.claimed] == ["v000"]
    assert [refused.reason for refused in result.refused] == [BlockReason.SAME_PURCHASE]


@pytest.mark.parametrize("change", ["renamed", "taken out"])
def test_a_plan_from_before_a_change_buys_nothing_for_a_removed_key(home: EngineHome, change: str) -> None:
    (written,) = home.seeded(1, steps=1, prompt="a")
    with home.open() as slow:
        advance(slow, submit=False, publish=False)
        planned = plan(plan_input(slow))
        home.catalogue([{**written, "key": "new", "was": "v000"}] if change == "renamed" else [])
        with home.open() as quick:
            advance(quick, submit=False, publish=False)
        refused = submit_due(slow, planned).refused
    assert [refusal.reason for refusal in refused] == [BlockReason.CHANGED]
    assert charges(home) == 0
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None] * (change == "renamed")
    assert charges(home) == (change == "renamed")


def test_a_new_name_of_a_second_purchase_is_a_question_though_its_entry_has_again(home: EngineHome) -> None:
    written = finished(home, steps=1)
    second = {**written, "key": "second", "again": True}
    home.catalogue([written, second])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
    home.catalogue([written, {**second, "key": "other"}])
    with home.open() as pipeline:
        planned = drive(pipeline)
        assert block_reasons(planned) == [None, BlockReason.SAME_PURCHASE]
        blocker = planned.videos[1].blocker
        assert blocker is not None
        assert "was: second" in blocker.todo
    home.write(
        [{**video_entry, "account": "n"} for video_entry in (written, second)], account(home.sandbox.base_url, name="n")
    )
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE] * 2
    assert charges(home) == 2
    home.write(
        [{**written, "account": "n"}, {**second, "key": "other", "was": "second", "account": "n"}],
        account(home.sandbox.base_url, name="n", was="k"),
    )
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
    assert charges(home) == 2


def test_an_account_with_the_same_keys_at_another_address_buys_nothing_twice(home: EngineHome) -> None:
    written = finished(home, steps=1)
    other_address = home.sandbox.base_url.replace("127.0.0.1", "localhost")
    accounts = [account(home.sandbox.base_url), account(other_address, name="there")]
    home.write([written, {**written, "key": "copy", "account": "there"}], *accounts)
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, BlockReason.SAME_PURCHASE]
    assert charges(home) == 1


def test_the_same_prompt_at_another_system_is_another_purchase(
    home: EngineHome, make_home: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_home = make_home("other")
    names = {"access_key_env": "OTHER_ACCESS_KEY", "secret_key_env": "OTHER_SECRET_KEY"}
    for name, known in zip(names.values(), (ACCESS_ENV, SECRET_ENV), strict=True):
        monkeypatch.setenv(name, os.environ[known])
    written = finished(home)
    other_home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    accounts = [
        account(home.sandbox.base_url),
        account(other_home.sandbox.base_url, name="elsewhere", credentials=names),
    ]
    home.write([written, {**written, "key": "there", "account": "elsewhere"}], *accounts)
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
    assert (charges(home), charges(other_home)) == (2, 2)


def test_a_failed_attempt_of_another_video_is_no_purchase(home: EngineHome) -> None:
    (written,) = home.seeded(1, steps=1, prompt="a")
    home.sandbox.faults([{"kind": "code_1301", "where": "submit"}])
    with home.open() as pipeline:
        drive(pipeline)
    home.catalogue([{**written, "key": "new"}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None]
    assert charges(home) == 1


def test_an_account_that_has_bought_under_both_names_is_one_account(home: EngineHome, tmp_path: Path) -> None:
    old_entries = home.seeded(2, steps=1, prompt="a")
    with home.open() as pipeline:
        drive(pipeline)
    home.sandbox.seed([{"video_id": source_id(7), "duration": 5.0}])
    fresh = entry("fresh", source_id(7), account="new", steps=1, prompt="a")
    entries = [*({**written, "account": "new"} for written in old_entries), fresh]
    home.write(entries, account(home.sandbox.base_url, name="new"))
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [BlockReason.SAME_PURCHASE, BlockReason.SAME_PURCHASE, None]
    home.write(entries, account(home.sandbox.base_url, name="new", was="k"))
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None, None]
        assert reckon(home, pipeline.ledger).charges == 3
        replays_to_the_same(pipeline.ledger, tmp_path)


def test_attempts_under_way_are_finished_under_the_new_names(home: EngineHome) -> None:
    (written,) = home.seeded(1, steps=2, prompt="a")
    home.sandbox.faults([{"kind": "5xx_before", "where": "query", "times": 3}])
    with home.open() as pipeline:
        advance(pipeline, publish=False)
    renamed = {**written, "key": "new", "was": "v000", "account": "n"}
    home.write([renamed], account(home.sandbox.base_url, name="n", was="k"))
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None]
        assert reckon(home, pipeline.ledger).states == {"stored": 2}


def test_a_lost_ledger_is_rebuilt_by_the_first_names_while_the_files_have_them(home: EngineHome) -> None:
    written = finished(home)
    renamed = {**written, "key": "new", "was": "v000", "account": "n"}
    home.write([renamed], account(home.sandbox.base_url, name="n", was="k"))
    with home.open() as pipeline:
        drive(pipeline)
    ledger = home.path / "state" / "ledger.sqlite"
    ledger.unlink()
    with home.open() as pipeline:
        accept(pipeline.settings, pipeline.ledger, who="me", why="it is lost", now_ms=pipeline.now_ms())
        assert block_reasons(drive(pipeline)) == [None]
    assert charges(home) == 2


def test_a_branch_follows_the_new_key_of_its_parent(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    day = entry("day", source_id(0), steps=1, prompt="a")
    home.write([day, branch("night", "day", 1, steps=1, prompt="n")])
    with home.open() as pipeline:
        drive(pipeline)
    home.write([{**day, "key": "noon", "was": "day"}, branch("night", "noon", 1, steps=1, prompt="n")])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
    assert charges(home) == 2


def test_an_old_key_that_is_used_again_has_steps_of_its_own(home: EngineHome) -> None:
    written = finished(home, steps=1)
    home.catalogue([{**written, "key": "new", "was": "v000"}])
    with home.open() as pipeline:
        drive(pipeline)
    home.catalogue([{**written, "key": "new"}, {**written, "again": True}])
    with home.open() as pipeline:
        assert block_reasons(drive(pipeline)) == [None, None]
        assert check_invariants(pipeline.ledger) == []
    assert charges(home) == 2


@pytest.mark.parametrize(
    ("entries", "accounts", "fields"),
    [
        ([{"key": "b", "was": "a"}, {"key": "a"}], [{}], ["was"]),
        ([{"key": "b", "was": "x"}, {"key": "a", "was": "x"}], [{}], ["was"]),
        ([{"key": "a"}], [{"was": "l"}, {"name": "l"}], ["was"]),
        ([{"key": "a"}], [{"was": "x"}, {"name": "l", "was": "x"}], ["was"]),
        ([{"key": "a", "again": "maybe"}], [{"on_change": "never"}], ["on_change", "again"]),
    ],
)
def test_contradictory_names_are_reported_with_their_field(
    home: EngineHome, entries: list[dict[str, Any]], accounts: list[dict[str, Any]], fields: list[str]
) -> None:
    written = [{**entry("v", source_id(n), steps=1), **changes} for n, changes in enumerate(entries)]
    home.write(written, *(account(**changes) for changes in accounts))
    with pytest.raises(ConfigError) as caught:
        load_configuration(home.settings, PROVIDERS, now=from_ms(NOON))
    assert [problem.field for problem in caught.value.problems] == fields
