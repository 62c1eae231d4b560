"""Notices in the course of the work that files of the media store are gone, and has them fetched again.

The whole store is looked at every ten minutes; between two looks a round costs one look at the mark.
"""

from __future__ import annotations

from typing import Final

from extend_pipeline.base.private import open_private
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.look import StoreLook, look
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import files, transitions
from extend_pipeline.ledger.write.files import FileKey, Role

LOOK_EVERY_MS: Final = 600_000  # some results live for an hour; 100,000 files take about a second
DOUBT_EVERY_MS: Final = 5_000  # while the store is in doubt, so that a mount is noticed soon
_SEEN: Final = "media-store"  # the file of the home's state that names the store
AT_ONCE: Final = 1_000  # files that are written down in one transaction; the next round takes the next


def watch_store(pipeline: Pipeline) -> None:
    """Look at the store if a look is due, and write down what is gone and what is back. Sets the pipeline's
    `store_doubt` where the store seems not to be the ledger's, or can't be used; plans hold all submits then."""
    now_ms, looked = pipeline.now_ms(), pipeline.store.mark()
    if looked is not None and looked.id == _known_id(pipeline) and 0 <= now_ms - looked.at_ms < LOOK_EVERY_MS:
        pipeline.store_doubt = ""
        return
    if pipeline.store_doubt and 0 <= now_ms - pipeline.store_doubted_ms < DOUBT_EVERY_MS:
        return
    with pipeline.ledger.read() as connection:
        if not files.any_stored(connection):
            return
    pipeline.store_doubted_ms = now_ms
    try:
        found = look(pipeline)
        pipeline.store_doubt = found.doubt
        if not found.doubt:
            write_down(pipeline, found, actor=pipeline.owner)
            if len(found.gone) <= AT_ONCE and found.folder_there:
                _mark(pipeline)
    except OSError as error:
        pipeline.store_doubt = f"{error.filename or pipeline.store.place} can't be used: {error.strerror or error}"


def write_down(pipeline: Pipeline, found: StoreLook, *, actor: str) -> None:
    """Write down what is gone and what is back, and make the results that are gone due."""
    if not (found.gone or found.back):
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        for file, known in found.back:
            files.restored(tx, file.key, known, "the file is in the store again")
            if file.key.role is Role.RESULT:
                transitions.unschedule(tx, file.key.owner)
        for file, cause in found.gone[:AT_ONCE]:
            files.missing(tx, file, cause)
            if file.key.role is Role.RESULT:
                fetch_again(tx, file.key, account=file.account)


def fetch_again(tx: LedgerTransaction, key: FileKey, *, account: str) -> None:
    """Make a result due that is stored and whose file is missing."""
    stored = (AttemptState.STORED,)
    transitions.schedule(tx, key.owner, account=account, due_at=tx.now_ms, while_in=stored)


def accept_store(pipeline: Pipeline, *, actor: str) -> int:
    """Take the media store as it is for ours, on an operator's word: all that is gone from it is fetched again as far
    as possible. Return how many files are."""
    pipeline.store.make()
    gone = 0
    while True:
        found = look(pipeline)
        if not (found.gone or found.back):
            break
        write_down(pipeline, found, actor=actor)
        gone += min(len(found.gone), AT_ONCE)
    _mark(pipeline)
    pipeline.store_doubt = ""
    return gone


def _known_id(pipeline: Pipeline) -> str:
    """Return the id of the store that this home last saw; another store may carry a mark too, and be looked at by its
    home."""
    try:
        return (pipeline.settings.state_dir / _SEEN).read_text(encoding="utf-8")
    except OSError:
        return ""


def _mark(pipeline: Pipeline) -> None:
    """Mark the store as looked at just now, and remember it as this home's."""
    seen = pipeline.store.set_mark(at_ms=pipeline.now_ms(), new_id=pipeline.new_token())
    if seen != _known_id(pipeline):
        with open_private(pipeline.settings.state_dir / _SEEN, "w") as file:
            file.write(seen)
