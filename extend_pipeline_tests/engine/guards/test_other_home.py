"""Two homes with one ledger: the second neither withdraws the first one's videos nor submits its own, and polls and
fetches what is paid for. Several machines of one home, a home that moves, and a new catalogue go on as before."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.guards.other_home import OtherHomeError, take_over
from extend_pipeline.engine.home import open_home
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.address import shown_address
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.handover import move
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write.catalog_sync import last_declared
from extend_pipeline_tests.support.home.engine_home import EngineHome, drive
from extend_pipeline_tests.support.ledger.reckoning import replays_to_the_same
from extend_pipeline_tests.support.user_texts import check_user_text

MakeHome = Callable[..., EngineHome]


def beside(home: EngineHome, name: str) -> EngineHome:
    """Return another home with the ledger of a home."""
    return EngineHome(home.path.parent / name, home.sandbox, home.ledger_url)


def states(home: EngineHome) -> dict[str, str]:
    """Return the ledger's videos with their states."""
    with open_home(home.settings, works=False) as pipeline, pipeline.ledger.read() as connection:
        return {row.video_key: row.state.value for row in queries.videos(connection)}


def driven(home: EngineHome) -> None:
    """Do all that is due in a home."""
    with home.open() as pipeline:
        drive(pipeline)


def is_refused(home: EngineHome) -> None:
    """Assert that a home may not declare its catalogue."""
    with home.open() as pipeline, pytest.raises(OtherHomeError):
        declare_catalogue(pipeline)


def charges(home: EngineHome) -> int:
    """Return the number of the sandbox's charges."""
    return len(home.sandbox.charges()["charges"])


@pytest.fixture
def films(make_home: MakeHome, ledger_url: str) -> EngineHome:
    """Return a home with three complete videos."""
    home = make_home()
    films = EngineHome(home.path, home.sandbox, ledger_url)
    films.seeded(3, steps=1)
    driven(films)
    return films


def test_a_second_home_submits_nothing_and_names_both_until_it_is_accepted(films: EngineHome, tmp_path: Path) -> None:
    clips, before = beside(films, "clips"), states(films)
    words = {shown_address(films.ledger_url): "LEDGER", str(films.path): "FILMS", str(clips.path): "CLIPS"}
    clips.seeded(2, first=5, steps=1)
    for _ in range(2):
        with clips.open() as pipeline:
            with pytest.raises(OtherHomeError) as refused:
                declare_catalogue(pipeline)
            drive(pipeline)
        assert str(films.path) in str(refused.value)
        assert str(clips.path) in str(refused.value)
        check_user_text(str(refused.value), without={**words, socket.gethostname(): "HOST"})
    with open_home(clips.settings, works=False) as pipeline:  # as `plan` and `status` do
        planned = plan(plan_input(pipeline))
    assert {video.blocker and video.blocker.reason for video in planned.videos} == {BlockReason.LEDGER}
    driven(films)
    assert states(films) == before
    assert charges(films) == 3

    ledger = open_ledger(clips.ledger_url)
    assert take_over(clips.settings, ledger, who="ann", why="gone", now_ms=1).endswith(str(films.path))
    assert take_over(clips.settings, ledger, who="ann", why="again", now_ms=1) == ""
    replays_to_the_same(ledger, tmp_path)
    ledger.close()
    with clips.open() as pipeline:
        assert len(declare_catalogue(pipeline).withdrawn) == 3
    is_refused(films)


def test_what_is_paid_for_is_fetched_by_a_home_that_may_not_submit(make_home: MakeHome, ledger_url: str) -> None:
    home = make_home()
    films = EngineHome(home.path, home.sandbox, ledger_url)
    clips = beside(films, "clips")
    films.seeded(3, steps=2)
    clips.seeded(1, first=5, steps=1)
    with films.open() as pipeline:
        assert advance(pipeline).submitted.posts == 3
    with clips.open() as pipeline:
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            assert len(queries.attempts_in(connection, (AttemptState.STORED,))) == 3
    assert charges(films) == 3


def test_a_home_that_was_open_before_the_other_one_began_withdraws_nothing(
    make_home: MakeHome, ledger_url: str
) -> None:
    home = make_home()
    films = EngineHome(home.path, home.sandbox, ledger_url)
    clips = beside(films, "clips")
    films.seeded(3, steps=1)
    clips.seeded(2, first=5, steps=1)
    with clips.open() as pipeline:
        driven(films)
        drive(pipeline)
    assert set(states(films).values()) == {"complete"}
    assert charges(films) == 3


def test_two_machines_with_one_catalogue_share_a_ledger_also_while_it_is_edited(films: EngineHome) -> None:
    second = beside(films, "second-machine")
    second.seeded(3, steps=1)
    driven(second)
    second.seeded(5, steps=1)  # two new videos, on one machine first
    driven(second)
    assert len(states(films)) == 5
    driven(films)  # knows three of five: it would withdraw two
    films.seeded(5, steps=1)
    driven(films)
    driven(second)
    assert set(states(films).values()) == {"complete"}


def test_a_machine_that_has_not_pulled_an_edit_does_not_record_the_film_as_complete(films: EngineHome) -> None:
    second = beside(films, "second-machine")
    second.seeded(3, steps=1)
    driven(second)
    films.seeded(3, steps=2)
    with films.open() as pipeline:
        assert declare_catalogue(pipeline).changed
    driven(second)  # by its own entries the films are complete
    assert set(states(films).values()) == {"new"}
    driven(films)
    assert set(states(films).values()) == {"complete"}
    assert charges(films) == 6


def test_a_new_catalogue_is_taken_in_the_same_home_also_after_it_moved(films: EngineHome) -> None:
    films.seeded(2, first=5, steps=1)
    driven(films)
    assert sorted(states(films).values()) == ["complete"] * 2 + ["withdrawn"] * 3
    moved = beside(films, "moved")
    films.path.rename(moved.path)
    moved.seeded(1, first=8, steps=1)
    driven(moved)
    assert sorted(states(moved).values()) == ["complete", *["withdrawn"] * 5]


# a ledger in a file is copied along, or knows the copy by the home's anchor
@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_copy_of_a_home_is_another_home_as_soon_as_its_catalogue_is(films: EngineHome) -> None:
    copy = beside(films, "copy")
    shutil.copytree(films.path, copy.path)
    driven(copy)
    entries = copy.seeded(3, steps=1)
    copy.catalogue([{**entry, "key": f"new-{entry['key']}", "was": entry["key"]} for entry in entries])
    driven(copy)  # its videos have new names, and are the same
    copy.seeded(2, first=5, steps=1)
    driven(copy)
    is_refused(films)


def test_a_moved_ledger_is_still_its_homes(films: EngineHome, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/copy.sqlite"
    source, copy = open_ledger(films.ledger_url), open_ledger(target)
    move(source, copy, now_ms=1, actor="t")
    source.close()
    copy.close()
    elsewhere = EngineHome(films.path, films.sandbox, target)
    clips = beside(elsewhere, "clips")
    clips.seeded(2, first=5, steps=1)
    is_refused(clips)
    elsewhere.seeded(1, first=7, steps=1)
    with elsewhere.open() as pipeline:
        assert len(declare_catalogue(pipeline).withdrawn) == 3


def test_a_ledger_of_before_gets_its_home_when_that_looks_next(films: EngineHome) -> None:
    with films.open() as pipeline:
        with pipeline.ledger.write(now_ms=1, actor="t") as tx:
            last = last_declared(tx.connection)
            assert last is not None
            none = {"home_mark": None, "home_name": None, "seen_at": None}
            tx.connection.execute(update(tables.declared_catalogue).values(none))
        assert declare_catalogue(pipeline).withdrawn == ()
        with pipeline.ledger.read() as connection:
            now = last_declared(connection)
        assert now is not None
        assert (now.digest, now.home) == (last.digest, last.home)


def test_a_mistake_in_the_files_declares_nothing_and_is_reported_as_such(films: EngineHome) -> None:
    clips = beside(films, "clips")
    clips.seeded(2, first=5, steps=1)
    (clips.path / "catalog.yaml").write_text('{"videos": [{"key": "x"}]}')
    with open_home(clips.settings) as pipeline:
        assert pipeline.configuration.problems
        assert declare_catalogue(pipeline).withdrawn == ()
    assert set(states(films).values()) == {"complete"}
