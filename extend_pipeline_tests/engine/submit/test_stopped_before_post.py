"""A process that is stopped between `sending` and its POST for longer than its lease sends nothing: another worker may
have looked for its task, found none, and gone on."""

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
    """Return a process that works on the home's one video and has been stopped at a failpoint."""
    home.options.update(post_deadline_s=0.4, lease_s=5.5)
    other_home(home, provider)
    settings: dict[str, Any] = {"home": home.path, "ledger_url": home.ledger_url, **home.options}
    stopped = advancing(settings, home.path / "stopped.txt", points=f"{point}=pause", once=True)
    eventually(lambda: stopped.is_stopped)
    return stopped


@pytest.mark.parametrize("provider", OTHERS[:1])
def test_a_stopped_process_does_not_send_a_hop_that_was_resubmitted(provider: str, home: EngineHome) -> None:
    stopped = stopped_at("submit.after_sending", provider, home)
    with home.open() as pipeline:

        def state() -> str:
            advance(pipeline, publish=False)
            with pipeline.ledger.read() as connection:
                return str(connection.execute(select(tables.attempts.c.state)).scalars().one())

        eventually(lambda: state() == S.IN_DOUBT)  # its lease has run out
        assert home.sandbox.tasks() == []
        resolution = resolve.resubmit(pipeline, f"{provider}-0/1", who="ann", why="not in the console")
        assert isinstance(resolution, resolve.Resolved), resolution
        drive(pipeline)
        assert reckon(home, pipeline.ledger).charges == 1
        stopped.go_on()
        assert stopped.wait() == 0, stopped.output_text
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.states) == (1, {"written_off": 1, "stored": 1})
        replays_to_the_same(pipeline.ledger, home.path)


@pytest.mark.parametrize("provider", OTHERS)
def test_a_response_after_a_write_off_is_adopted_and_its_film_fetched(provider: str, home: EngineHome) -> None:
    """It was sent and charged; its process was stopped past its lease, before it could record that."""
    stopped = stopped_at("submit.after_post", provider, home)
    with home.open() as pipeline:

        def doubts() -> int:
            advance(pipeline, publish=False)
            return len(status(pipeline).doubts)

        eventually(lambda: doubts() == 1)
        resolution = resolve.write_off(pipeline, f"{provider}-0/1", who="ann", why="not in the console")
        assert isinstance(resolution, resolve.Resolved), resolution
        stopped.go_on()
        assert stopped.wait() == 1, "the hop itself stays closed, and waits for a person"
        drive(pipeline)
        totals = reckon(home, pipeline.ledger)
        assert (totals.charges, totals.states) == (1, {"written_off": 1, "stored": 1})
        [account] = status(pipeline).accounts
        assert account.committed == Decimal(home.sandbox.charges()["charges"][0]["units"])
        replays_to_the_same(pipeline.ledger, home.path)
