"""A process that is stopped between saying that it sends and sending, for longer than its lease, sends nothing: others
may have looked for its task, found none, and gone on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.status import status
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive, eventually
from extend_pipeline_tests.support.home.every_provider import OTHERS, other_home
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same
from extend_pipeline_tests.support.processes.children import Child, advancing

S = AttemptState


def stopped_at(point: str, provider: str, home: EngineHome) -> Child:
    """A home with one video, and a process that works on it and has been stopped at a failpoint."""
    home.options.update(post_deadline_s=0.4, lease_s=5.5)
    other_home(home, provider)
    settings: dict[str, Any] = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    stopped = advancing(settings, home.path / "stopped.txt", points=f"{point}=pause")
    eventually(lambda: stopped.is_stopped)
    return stopped


@pytest.mark.parametrize("provider", OTHERS[:1])
def test_a_hop_that_a_person_has_sent_again_is_not_sent_by_who_was_stopped_before(
    provider: str, home: EngineHome
) -> None:
    stopped = stopped_at("submit.after_sending", provider, home)
    with home.open() as pipeline:

        def state() -> str:
            advance(pipeline, publish=False)
            with pipeline.ledger.read() as connection:
                return str(connection.execute(select(tables.attempts.c.state)).scalars().one())

        eventually(lambda: state() == S.IN_DOUBT)  # its lease has run out
        assert home.sandbox.tasks() == []
        word = resolve.resubmit(pipeline, f"{provider}-0/1", who="ann", why="not in the console")
        assert isinstance(word, resolve.Resolved), word
        drive(pipeline)
        assert reckon(home, pipeline.ledger).charges == 1
        stopped.go_on()
        assert stopped.wait() == 0, stopped.told
        found = reckon(home, pipeline.ledger)
        assert (found.charges, found.states) == (1, {"written_off": 1, "stored": 1})
        replays_to_the_same(pipeline.ledger, home.path)


@pytest.mark.parametrize("provider", OTHERS)
def test_an_answer_that_comes_after_a_person_gave_up_still_brings_its_film(provider: str, home: EngineHome) -> None:
    """It was sent and charged; whoever sent it was stopped past its lease, before it could say so."""
    stopped = stopped_at("submit.after_post", provider, home)
    with home.open() as pipeline:

        def doubts() -> int:
            advance(pipeline, publish=False)
            return len(status(pipeline).doubts)

        eventually(lambda: doubts() == 1)
        word = resolve.write_off(pipeline, f"{provider}-0/1", who="ann", why="not in the console")
        assert isinstance(word, resolve.Resolved), word
        stopped.go_on()
        assert stopped.wait() == 1, "the hop itself stays closed, and waits for a person"
        drive(pipeline)
        found = reckon(home, pipeline.ledger)
        assert (found.charges, found.states) == (1, {"written_off": 1, "stored": 1})
        [account] = status(pipeline).accounts
        assert account.committed == Decimal(home.sandbox.charges()["charges"][0]["units"])
        replays_to_the_same(pipeline.ledger, home.path)
