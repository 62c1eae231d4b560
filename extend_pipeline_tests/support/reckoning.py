"""What must hold of a home and its sandbox after whatever a test did to them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlalchemy import Row, select

from extend_pipeline.base.units import to_micros
from extend_pipeline.ledger import replay, tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.invariants import check_invariants
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.media.probe import Sound, check_file
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.support.engine_home import EngineHome

S = AttemptState

_FILM = re.compile(r"[0-9a-f]{64}\.mp4")
_UNSETTLED = frozenset({S.SUBMITTED, S.PROCESSING, S.FAILED})


@dataclass(frozen=True)
class Reckoning:
    """What was found: how many charges, how many films, and how many attempts stand in each state."""

    charges: int
    films: int
    states: dict[str, int]


def reckon(home: EngineHome, ledger: Ledger) -> Reckoning:
    """Check the ledger's promises, the sandbox's charge book against it, and every file in the media store."""
    assert check_invariants(ledger) == []
    charges = books_agree(home.sandbox, ledger)
    films = files_are_whole(home.settings.media_dir, ledger)
    with ledger.read() as connection:
        found = list(connection.execute(select(tables.attempts.c.state)).scalars())
    return Reckoning(charges, films, {state: found.count(state) for state in set(found)})


def books_agree(sandbox: SandboxHandle, ledger: Ledger) -> int:
    """No step was charged twice, every charge is one that the ledger knows of, and settled sums are equal."""
    book = sandbox.charges()
    assert book["double"] == []
    assert all(count == 1 for count in book["by_external_task_id"].values()), book["by_external_task_id"]
    with ledger.read() as connection:
        attempts = list(connection.execute(select(tables.attempts)))
    by_task = {row.task_id: row for row in attempts if row.task_id is not None}
    doubtful = {row.external_task_id for row in attempts if row.state in (S.IN_DOUBT, S.WRITTEN_OFF, S.SENDING)}
    settled = 0
    unclaimed = [row for row in attempts if row.state in (S.IN_DOUBT, S.WRITTEN_OFF, S.SENDING) and not row.task_id]
    for charge in book["charges"]:
        row = by_task.get(charge["task_id"])
        if row is None and charge["external_task_id"] is None:  # without a key of ours: at most one charge a doubt
            answers_for = next((each for each in unclaimed if _may_have_made(each, charge)), None)
            assert answers_for is not None, f"nobody knows of {charge}"
            unclaimed.remove(answers_for)
            continue
        assert row is not None or charge["external_task_id"] in doubtful, f"nobody knows of {charge}"
        if row is None or row.settled_micros is None:
            continue
        if not charge["refunded"]:
            assert row.settled_micros == to_micros(Decimal(charge["units"])), charge
            settled += 1
    stored = [row for row in attempts if row.state == S.STORED]
    assert settled >= len(stored)
    assert {row.task_id for row in stored} <= {charge["task_id"] for charge in book["charges"]}
    return len(book["charges"])


def _may_have_made(row: Row[Any], charge: Mapping[str, Any]) -> bool:
    """Whether an attempt is of the provider that charged, and of the video that was extended (Vidu's are named by
    their URL)."""
    named = row.parent_video_id
    same = named == charge["video_id"] or unquote(urlsplit(named).path).endswith(f"/{charge['video_id']}.mp4")
    return bool(row.provider == charge["provider"] and same)


def files_are_whole(media: Path, ledger: Ledger) -> int:
    """Every film under its hash is sound and has that hash, and every stored attempt has its file."""
    films = [path for path in media.rglob("*") if _FILM.fullmatch(path.name)] if media.exists() else []
    for film in films:
        assert hashlib.sha256(film.read_bytes()).hexdigest() == film.stem
        assert isinstance(check_file(film), Sound), film
    with ledger.read() as connection:
        rows = list(connection.execute(select(tables.attempts).where(tables.attempts.c.state == S.STORED)))
    for row in rows:
        assert (media / row.path).stat().st_size == row.bytes
        assert (media / row.path).stem == row.sha256
    return len(films)


def replays_to_the_same(ledger: Ledger, folder: Path) -> int:
    """Folding the events again gives the same tables; answers how many events there are."""
    copy = open_ledger(f"sqlite:///{folder}/replayed.sqlite")
    try:
        count = replay.replay(ledger, copy)
        assert replay.differences(ledger, copy) == []
        return count
    finally:
        copy.close()
