"""Prove what changed since a check of the whole ledger last held, and everything once a day.

Where a check held is kept in `state/proofs/`, a file a check. Without the file, after another version of the program or
with another ledger everything is proved, so that losing it costs only time. It is written only when the check held.
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline.base.private import make_private_folder, replace_private
from extend_pipeline.base.version import program_version
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.database import SCHEMA_HEAD
from extend_pipeline.ledger.identity import read_identity
from extend_pipeline.ledger.read.held import Held, Proof

WHOLE_EVERY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a check last held, and when it last held for everything (UTC ms)."""

    held: Held
    whole_at_ms: int


@dataclass(frozen=True, slots=True)
class Proved:
    """What a check found, and when it last held for everything (UTC ms); None if that isn't known."""

    proof: Proof
    whole_at_ms: int | None


def prove(pipeline: Pipeline, check: str, compare: Callable[[Held | None], Proof]) -> Proved:
    """Run a check on what changed since it last held, or on everything if that was last done a day ago. The mark moves
    only if the check holds."""
    now_ms, writer = pipeline.now_ms(), _writer(pipeline)
    path = pipeline.settings.state_dir / "proofs" / f"{check}.json"
    before = _read(path, writer)
    is_due = before is None or not 0 <= now_ms - before.whole_at_ms < WHOLE_EVERY_MS
    proof = compare(None if before is None or is_due else before.held)
    whole_at_ms = before.whole_at_ms if before is not None else None
    if proof.held is not None and not proof.findings:
        whole_at_ms = now_ms if proof.is_whole or whole_at_ms is None else whole_at_ms
        _write(path, writer, Mark(proof.held, whole_at_ms))
    return Proved(proof, whole_at_ms)


def _writer(pipeline: Pipeline) -> list[str | None]:
    """Return what must be the same for a mark to count: another version may check more, or have changed old rows."""
    with pipeline.ledger.read() as connection:
        return [program_version(), SCHEMA_HEAD, read_identity(connection).ledger_id]


def _read(path: Path, writer: list[str | None]) -> Mark | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields["writer"] != writer:
            return None
        sums = {tuple(key): tuple(figures) for key, figures in fields["sums"]}
        return Mark(Held(fields["seq"], fields["event"], sums), fields["whole_at_ms"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, writer: list[str | None], mark: Mark) -> None:
    """Replace the file atomically; if it can't be written, the next check proves more."""
    sums = [[key, figures] for key, figures in mark.held.sums.items()]
    fields = {
        "writer": writer,
        "whole_at_ms": mark.whole_at_ms,
        "seq": mark.held.seq,
        "event": mark.held.event,
        "sums": sums,
    }
    with suppress(OSError):
        make_private_folder(path.parent)
        replace_private(path, json.dumps(fields))
