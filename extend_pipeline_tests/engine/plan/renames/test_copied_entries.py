"""Entries that are alike are bought once, and a second time only with `again:`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline_tests.engine.plan.renames.bought import EVERY, block_reasons, charges, finished
from extend_pipeline_tests.support.home.engine_home import (
    ACCESS_ENV,
    SECRET_ENV,
    EngineHome,
    account,
    drive,
    source_id,
)


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
