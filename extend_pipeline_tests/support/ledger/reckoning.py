"""Check a home and its sandbox at the end of a test: the ledger's invariants, the charge book, the files, a replay.

`spoiled_files` returns findings as sentences, at any moment; the other functions raise AssertionError.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.projection import replay
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.media.check.probe import ValidFile, check_file
from extend_pipeline.sandbox import SandboxHandle
from extend_pipeline_tests.support.harness.audit import disagreements
from extend_pipeline_tests.support.harness.charges import attempts_in, charge_book
from extend_pipeline_tests.support.home.engine_home import EngineHome

S = AttemptState

_FILM = re.compile(r"[0-9a-f]{64}\.mp4")
_valid_digests: set[str] = set()
"""SHA-256 of films that were found valid: the same bytes need no second check."""


@dataclass(frozen=True)
class Reckoning:
    """The numbers of charges, of films, and of attempts in each state."""

    charges: int
    films: int
    states: dict[str, int]


def spoiled_files(media: Path, ledger: Ledger) -> list[str]:
    """Return the films that differ from the digest in their name or are no valid films, and the stored attempts whose
    file is missing or has another size, as sentences."""
    findings = []
    for film in films_in(media):
        digest = hashlib.sha256(film.read_bytes()).hexdigest()
        if digest != film.stem:
            findings.append(f"{film.name} of {film.stat().st_size} bytes differs from the digest in its name")
        elif digest not in _valid_digests and not isinstance(check_file(film), ValidFile):
            findings.append(f"{film.name} is no valid film")
        else:
            _valid_digests.add(digest)
    for row in attempts_in(ledger):
        if row.state != S.STORED:
            continue
        file = media / row.path
        if not file.is_file():
            findings.append(f"{row.video_key}/{row.hop} is stored, and its file {row.path} is missing")
        elif (file.stat().st_size, file.stem) != (row.bytes, row.sha256):
            findings.append(f"{row.video_key}/{row.hop}: {row.path} has {file.stat().st_size} bytes, {row.bytes} came")
    return findings


def films_in(media: Path) -> list[Path]:
    """Return every file under a film's final name."""
    return [path for path in media.rglob("*") if _FILM.fullmatch(path.name)] if media.exists() else []


def reckon(home: EngineHome, ledger: Ledger) -> Reckoning:
    """Check the ledger's invariants, the sandbox's charge book against it, and every file in the media store."""
    assert check_invariants(ledger) == []
    charges = charges_agree(home.sandbox, ledger)
    films = files_are_whole(home.settings.media_dir, ledger)
    return Reckoning(charges, films, dict(Counter(row.state for row in attempts_in(ledger))))


def charges_agree(sandbox: SandboxHandle, ledger: Ledger) -> int:
    """Check that no step was charged twice, that the ledger accounts for every charge, and that amounts are equal;
    return the number of charges."""
    book = charge_book(sandbox)
    assert disagreements(book, attempts_in(ledger)) == []
    return len(book.charges)


def files_are_whole(media: Path, ledger: Ledger) -> int:
    """Check that every film is valid and has the digest in its name, and that every stored attempt has its file; return
    the number of films."""
    assert spoiled_files(media, ledger) == []
    return len(films_in(media))


def replays_to_the_same(ledger: Ledger, folder: Path) -> int:
    """Check that a replay of the events yields the same tables; return the number of events."""
    copy = open_ledger(f"sqlite:///{folder}/replayed.sqlite")
    try:
        return replays_into(ledger, copy)
    finally:
        copy.close()


def replays_into(ledger: Ledger, copy: Ledger) -> int:
    """Check the same with an empty ledger that exists already."""
    count = replay.replay(ledger, copy)
    assert replay.differences(ledger, copy) == []
    return count
