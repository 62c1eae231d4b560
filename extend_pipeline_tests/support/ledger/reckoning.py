"""What must hold of a home and its sandbox after whatever a test did to them.

Two forms: `disagreements` and `spoiled_files` tell what is wrong in sentences, at any moment, also between a crash and
its recovery; `reckon`, `books_agree` and `files_are_whole` raise AssertionError, for the end of a test.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Row, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection import replay
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.media.check.probe import ValidFile, check_file
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.support.home.engine_home import EngineHome

S = AttemptState

_FILM = re.compile(r"[0-9a-f]{64}\.mp4")
_OPEN = (S.IN_DOUBT, S.WRITTEN_OFF, S.SENDING)
"""Where an attempt that names no task may have made one."""

_known_sound: set[str] = set()
"""Hashes of bytes that were found sound: the same bytes need no second look."""


@dataclass(frozen=True)
class Reckoning:
    """What was found: how many charges, how many films, and how many attempts stand in each state."""

    charges: int
    films: int
    states: dict[str, int]


@dataclass(frozen=True)
class Book:
    """A sandbox's charge book, or one account's part of it."""

    charges: tuple[Mapping[str, Any], ...]
    doubles: tuple[Mapping[str, Any], ...]

    @property
    def kept(self) -> list[Mapping[str, Any]]:
        """The charges that were not given back."""
        return [charge for charge in self.charges if not charge["refunded"]]

    @property
    def micros(self) -> int:
        """What they sum to, in millionths of a unit; for a book of one account."""
        return sum(to_micros(Decimal(charge["units"])) for charge in self.kept)


def book_of(sandbox: SandboxHandle, account: str | None = None) -> Book:
    """Read the charge book, of all accounts or of one."""
    told = sandbox.charges()

    def mine(rows: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
        return tuple(row for row in rows if account in (None, row["account"]))

    return Book(mine(told["charges"]), mine(told["double"]))


def attempts_in(ledger: Ledger) -> list[Row[Any]]:
    """Every attempt that the ledger knows of."""
    with ledger.read() as connection:
        return list(connection.execute(select(tables.attempts)))


def disagreements(book: Book, attempts: Sequence[Row[Any]]) -> list[str]:
    """Where a charge book and a ledger do not tell the same, in sentences; none is the only good answer.

    Holds at every moment: a charge is that of a known task, or of an attempt that is being sent, in doubt or written
    off; never of one that was released or rejected. No step is charged twice.
    """
    found = [
        f"{each['count']} charges for one step: {each['video_id']} was extended as tasks {each['task_ids']}"
        for each in book.doubles
    ]
    keys = [charge["external_task_id"] for charge in book.kept if charge["external_task_id"] is not None]
    found += [f"{keys.count(key)} charges for the key {key}" for key in sorted(set(keys)) if keys.count(key) > 1]
    by_task = {row.task_id: row for row in attempts if row.task_id is not None}
    doubts = [row for row in attempts if row.state in _OPEN and not row.task_id]
    for charge in book.charges:
        row = by_task.get(charge["task_id"])
        if row is not None:
            found += _settled_otherwise(row, charge)
            if not _is_parent(row, charge):
                found.append(f"{row.video_key}/{row.hop} holds task {row.task_id}, made of {charge['video_id']}")
            continue
        answers_for = next((each for each in doubts if _may_have_made(each, charge)), None)
        if answers_for is None:
            found.append(_nobody_knows(charge, attempts))
        else:
            doubts.remove(answers_for)
    made = {charge["task_id"] for charge in book.charges}
    found += [
        f"{row.video_key}/{row.hop} is stored as task {row.task_id}, which was never charged"
        for row in attempts
        if row.state == S.STORED and row.task_id not in made
    ]
    return found


def _settled_otherwise(row: Row[Any], charge: Mapping[str, Any]) -> list[str]:
    units = to_micros(Decimal(charge["units"]))
    if row.settled_micros is None or charge["refunded"] or row.settled_micros == units:
        return []
    return [f"{row.video_key}/{row.hop} settled {row.settled_micros} micro-units, task {row.task_id} cost {units}"]


def _nobody_knows(charge: Mapping[str, Any], attempts: Sequence[Row[Any]]) -> str:
    ended = next((row for row in attempts if _may_have_made(row, charge) and not row.task_id), None)
    where = "" if ended is None else f"; {ended.video_key}/{ended.hop} is {ended.state}"
    return f"an unknown charge: task {charge['task_id']} of {charge['video_id']}, {charge['units']} units{where}"


def _may_have_made(row: Row[Any], charge: Mapping[str, Any]) -> bool:
    """Whether an attempt can have made a task: by its own key where it was sent along, else by the video that was
    extended (Vidu's are named by their URL)."""
    if charge["external_task_id"] is not None:
        return bool(row.external_task_id == charge["external_task_id"])
    return bool(row.provider == charge["provider"] and _is_parent(row, charge))


def _is_parent(row: Row[Any], charge: Mapping[str, Any]) -> bool:
    named = row.parent_video_id
    return bool(named == charge["video_id"] or unquote(urlsplit(named).path).endswith(f"/{charge['video_id']}.mp4"))


def spoiled_files(media: Path, ledger: Ledger) -> list[str]:
    """Films that are not what their name says, and stored attempts without their file, in sentences."""
    found = []
    for film in films_in(media):
        digest = hashlib.sha256(film.read_bytes()).hexdigest()
        if digest != film.stem:
            found.append(f"{film.name} of {film.stat().st_size} bytes is not what its name says")
        elif digest not in _known_sound and not isinstance(check_file(film), ValidFile):
            found.append(f"{film.name} is no sound film")
        else:
            _known_sound.add(digest)
    for row in attempts_in(ledger):
        if row.state != S.STORED:
            continue
        file = media / row.path
        if not file.is_file():
            found.append(f"{row.video_key}/{row.hop} is stored, and its file {row.path} is not there")
        elif (file.stat().st_size, file.stem) != (row.bytes, row.sha256):
            found.append(f"{row.video_key}/{row.hop}: {row.path} has {file.stat().st_size} bytes, {row.bytes} came")
    return found


def films_in(media: Path) -> list[Path]:
    """Every file that stands under a film's final name."""
    return [path for path in media.rglob("*") if _FILM.fullmatch(path.name)] if media.exists() else []


def reckon(home: EngineHome, ledger: Ledger) -> Reckoning:
    """Check the ledger's promises, the sandbox's charge book against it, and every file in the media store."""
    assert check_invariants(ledger) == []
    charges = books_agree(home.sandbox, ledger)
    films = files_are_whole(home.settings.media_dir, ledger)
    found = [row.state for row in attempts_in(ledger)]
    return Reckoning(charges, films, {state: found.count(state) for state in set(found)})


def books_agree(sandbox: SandboxHandle, ledger: Ledger) -> int:
    """No step was charged twice, every charge is one that the ledger knows of, and settled sums are equal."""
    book = book_of(sandbox)
    assert disagreements(book, attempts_in(ledger)) == []
    return len(book.charges)


def files_are_whole(media: Path, ledger: Ledger) -> int:
    """Every film under its hash is sound and has that hash, and every stored attempt has its file."""
    assert spoiled_files(media, ledger) == []
    return len(films_in(media))


def replays_to_the_same(ledger: Ledger, folder: Path) -> int:
    """Folding the events again gives the same tables; answers how many events there are."""
    copy = open_ledger(f"sqlite:///{folder}/replayed.sqlite")
    try:
        return replays_into(ledger, copy)
    finally:
        copy.close()


def replays_into(ledger: Ledger, copy: Ledger) -> int:
    """The same, with an empty ledger that is there already."""
    count = replay.replay(ledger, copy)
    assert replay.differences(ledger, copy) == []
    return count
