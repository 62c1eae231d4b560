"""Machines that share a ledger and differ: none undoes what another has declared, none is locked out for good, and only
homes that are the same are taken for it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Connection

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.load import load_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import declare_catalogue
from extend_pipeline.engine.guards.other_home import OtherHomeError as Refused
from extend_pipeline.engine.guards.other_home import declarer, other_home, take_over
from extend_pipeline.engine.guards.state_in_use import IN_USE
from extend_pipeline.engine.home import open_home
from extend_pipeline.ledger.address import shown_address
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.ledger.write.catalog_sync import Declared, Declarer, LastDeclared
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.support.home.engine_home import account, entry, source_id
from extend_pipeline_tests.support.user_texts import check_user_text

NOON: Final = 1_800_000_000_000
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
NOTHING: Final = Declared((), (), ())


@dataclass
class Machine:
    """A home on a machine; `host` is what EXTEND_PIPELINE_HOST_NAME says."""

    path: Path
    ledger_url: str
    host: str = ""

    @property
    def settings(self) -> Settings:
        """Return the settings of its home."""
        return Settings(home=self.path, ledger_url=self.ledger_url, host_name=self.host)

    def write(self, *numbers: int) -> None:
        """Write a catalogue with these videos."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "accounts.yaml").write_text(json.dumps({"accounts": [account()]}))
        videos = [entry(f"v{number}", source_id(number)) for number in numbers]
        (self.path / "catalog.yaml").write_text(json.dumps({"videos": videos}))

    def look(self, at_ms: int) -> Declared:
        """Declare the catalogue in a process of its own, so many milliseconds after noon."""
        with open_home(self.settings, now_ms=lambda: NOON + at_ms) as pipeline:
            return declare_catalogue(pipeline)

    def last(self) -> LastDeclared:
        """Return the ledger's row of the catalogue that was declared last."""
        with read(self.ledger_url) as connection:
            last = catalog_sync.last_declared(connection)
        assert last is not None
        return last


@contextmanager
def read(url: str) -> Iterator[Connection]:
    """Open a ledger for reading."""
    ledger = open_ledger(url)
    with ledger.read() as connection:
        yield connection
    ledger.close()


@pytest.fixture
def machine(tmp_path: Path, ledger_url: str) -> Callable[..., Machine]:
    """Return a function that makes a machine."""
    return lambda name, host="": Machine(tmp_path / name / "home", ledger_url, host)


MakeMachine = Callable[..., Machine]


def keys(*numbers: int) -> tuple[str, ...]:
    """Return the keys of videos."""
    return tuple(f"v{number}" for number in numbers)


@pytest.fixture
def pair(machine: MakeMachine) -> tuple[Machine, Machine]:
    """Return two machines with one catalogue of four videos; the first one has declared it."""
    first, second = machine("first"), machine("second")
    for each in (first, second):
        each.write(0, 1, 2, 3)
    assert first.look(0).new == keys(0, 1, 2, 3)
    for each in (second, first, second):  # the second look remembers the catalogue
        assert each.look(1) == NOTHING
    return first, second


def test_a_machine_that_has_not_pulled_yet_undoes_nothing_all_day(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    first.write(0, 1, 2, 4, 5)  # one left, two are new
    declared = first.look(MINUTE)
    assert (declared.new, declared.withdrawn) == (keys(4, 5), keys(3))
    last = first.last()
    for at_ms in range(2 * MINUTE, 26 * HOUR, 50 * MINUTE):
        assert (second.look(at_ms), first.look(at_ms)) == (NOTHING, NOTHING)
    assert (first.last().digest, first.last().keys_seq, first.last().home) == (last.digest, last.keys_seq, last.home)
    second.write(0, 1, 2, 4, 5)
    assert second.look(27 * HOUR) == NOTHING
    assert first.last().digest == last.digest


def test_an_edit_of_the_ledgers_catalogue_holds_at_once_on_whichever_machine(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    second.write(0, 1, 2, 6)
    assert second.look(MINUTE) == Declared(keys(6), (), keys(3))
    assert first.look(2 * MINUTE) == NOTHING
    first.write(0, 1, 2, 6)
    first.look(3 * MINUTE)
    first.write(0, 1, 2)
    assert first.look(4 * MINUTE).withdrawn == keys(6)
    assert second.look(5 * MINUTE) == NOTHING


def test_what_both_machines_have_added_stays_for_an_hour(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    first.write(0, 1, 2, 3, 4)
    assert first.look(MINUTE).new == keys(4)
    second.write(0, 1, 2, 3, 9)  # not pulled before
    assert second.look(2 * MINUTE) == Declared(keys(9), (), ())
    for at_ms in (3 * MINUTE, 30 * MINUTE, 61 * MINUTE):
        assert (first.look(at_ms), second.look(at_ms)) == (NOTHING, NOTHING)
    assert second.look(63 * MINUTE).withdrawn == keys(4)
    assert first.look(64 * MINUTE) == NOTHING
    assert second.last().left_over_since is None


def test_what_both_machines_have_added_stays_where_it_is_merged_within_the_hour(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    first.write(0, 1, 2, 3, 4)
    first.look(MINUTE)
    second.write(0, 1, 2, 3, 9)
    second.look(2 * MINUTE)
    first.write(0, 1, 2, 3, 4, 9)
    for at_ms in (3 * MINUTE, 2 * HOUR):
        assert first.look(at_ms) == NOTHING
    assert first.last().left_over_since is None


def test_a_machine_that_is_behind_goes_on_once_the_other_one_has_been_gone_for_a_day(
    pair: tuple[Machine, Machine],
) -> None:
    first, second = pair
    first.write(0, 1, 2, 3, 4)
    first.look(MINUTE)
    assert second.look(24 * HOUR) == NOTHING
    assert second.look(24 * HOUR + 2 * MINUTE).withdrawn == keys(4)
    assert first.look(25 * HOUR) == NOTHING  # and is behind now


def test_a_container_that_follows_another_one_withdraws_at_once(machine: MakeMachine) -> None:
    first, second, third = (machine(name) for name in ("first", "second", "third"))
    first.write(0, 1, 2)
    second.write(0, 1, 3)
    third.write(0, 1)
    first.look(0)
    assert second.look(61 * MINUTE) == Declared(keys(3), (), keys(2))
    assert third.look(90 * MINUTE) == NOTHING
    assert third.look(91 * MINUTE + HOUR).withdrawn == keys(3)


def test_a_new_container_goes_on_with_another_catalogue_once_the_last_one_is_gone(machine: MakeMachine) -> None:
    monday, tuesday = machine("monday"), machine("tuesday")
    monday.write(0)
    tuesday.write(1)
    monday.look(0)
    monday.look(2 * HOUR)
    for at_ms in (2 * HOUR + MINUTE, 25 * HOUR):
        with pytest.raises(Refused):
            tuesday.look(at_ms)
    assert tuesday.look(26 * HOUR + MINUTE) == Declared(keys(1), (), keys(0))


def test_a_container_with_a_fresh_state_is_the_same_home_by_the_name_that_it_is_given(machine: MakeMachine) -> None:
    first, second = machine("home", "studio"), machine("home", "studio")
    first.write(0)
    first.look(0)
    shutil.rmtree(first.settings.state_dir)
    second.write(1)
    assert second.look(MINUTE) == Declared(keys(1), (), keys(0))
    assert second.last().home == declarer(second.settings)
    assert second.last().home != declarer(machine("other", "studio").settings)  # two homes of one service


def test_a_folder_of_the_same_name_is_another_home(machine: MakeMachine) -> None:
    first = machine("home")
    first.write(0)
    first.look(0)
    shutil.rmtree(first.settings.state_dir)
    first.write(1)
    with pytest.raises(Refused) as refused:
        first.look(MINUTE)
    words = {shown_address(first.ledger_url): "LEDGER", declarer(first.settings).name: "HOME"}
    check_user_text(str(refused.value), without=words)
    assert first.look(25 * HOUR).withdrawn == keys(0)


def test_a_home_whose_files_get_another_owner_is_the_same(machine: MakeMachine) -> None:
    first = machine("home")
    first.write(0)
    first.look(0)
    mark = first.settings.state_dir / IN_USE
    before = mark.stat().st_ctime_ns
    os.chown(mark, os.getuid(), os.getgid())  # as at each start of a Kubernetes pod with an `fsGroup`
    assert mark.stat().st_ctime_ns > before
    first.write(1)
    assert first.look(MINUTE) == Declared(keys(1), (), keys(0))


def test_homes_whose_state_can_not_be_read_are_distinguished_by_their_place(machine: MakeMachine) -> None:
    closed, other = machine("closed"), machine("other")
    closed.write(0)
    other.write(5)
    other.look(0)
    home, configuration = declarer(closed.settings), load_configuration(closed.settings, PROVIDERS, now=from_ms(NOON))
    assert home.mark is None
    digest = other.last().digest
    ledger = open_ledger(closed.ledger_url)
    for name, is_refused in (("elsewhere:/data", True), (home.name, False)):
        with ledger.write(now_ms=NOON, actor="t") as tx:
            catalog_sync.remember(tx, digest, home=Declarer(None, name), keys_changed=False, compared_all=False)
        with ledger.read() as connection:
            assert (other_home(configuration, connection, now_ms=NOON) is not None) == is_refused
    ledger.close()


def test_a_replaced_catalogue_waits_for_the_machine_that_declared_last_and_no_longer(
    pair: tuple[Machine, Machine],
) -> None:
    first, second = pair
    second.write(5, 6)
    with pytest.raises(Refused):
        second.look(MINUTE)
    first.write(5, 6)
    assert first.look(2 * MINUTE) == Declared(keys(5, 6), (), keys(0, 1, 2, 3))
    assert second.look(3 * MINUTE) == NOTHING


def test_a_machine_alone_takes_the_place_of_one_that_is_gone(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    assert second.look(61 * MINUTE) == NOTHING
    second.write(5, 6)
    assert second.look(62 * MINUTE).withdrawn == keys(0, 1, 2, 3)
    with pytest.raises(Refused):
        first.look(63 * MINUTE)


def test_an_acceptance_on_a_laptop_lets_the_service_go_on(machine: MakeMachine) -> None:
    films, clips, laptop = machine("films"), machine("clips"), machine("laptop")
    films.write(0, 1)
    clips.write(5)
    films.look(0)
    ledger = open_ledger(films.ledger_url)
    assert take_over(laptop.settings, ledger, who="ann", why="t", now_ms=NOON) == declarer(films.settings).name
    assert take_over(laptop.settings, ledger, who="ann", why="t", now_ms=NOON) == ""
    ledger.close()
    assert films.look(20 * MINUTE) == NOTHING  # has nothing to declare
    assert clips.look(21 * MINUTE) == Declared(keys(5), (), keys(0, 1))
    with pytest.raises(Refused):
        films.look(22 * MINUTE)


def test_a_home_says_that_it_is_there_now_and_then(machine: MakeMachine) -> None:
    films = machine("films")
    films.write(0)
    films.look(0)
    seen = []
    for at_ms in range(MINUTE, 31 * MINUTE, MINUTE):
        films.look(at_ms)
        seen.append(films.last().seen_at)
    assert sorted(set(seen)) == [NOON + number * 10 * MINUTE for number in range(4)]
