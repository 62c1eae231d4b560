"""Detect missing files of the media store during the work, and schedule their fetch.

The whole store is compared every ten minutes, a part of it in each round until all is compared, so that no round waits
long for it; in between a round only reads the store's mark.
"""

from typing import Final

from extend_pipeline.base.private import open_private
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.look import StoreLook, look
from extend_pipeline.ledger.write import files
from extend_pipeline.media.store import FOLDERS

LOOK_EVERY_MS: Final = 600_000  # some results live for an hour; 100,000 files take some 2.5 s of CPU
PART: Final = 10_000  # files that a round compares; the next one goes on
DOUBT_EVERY_MS: Final = 5_000  # while the store is in doubt, so that a mount is detected soon
_SEEN: Final = "media-store"  # the file in the home's state folder with the store's id
_NEXT: Final = "media-store.next"  # the file beside it with the folder where the next round goes on
AT_ONCE: Final = 1_000  # files that are recorded in one transaction; the next round records the next ones


def watch_store(pipeline: Pipeline) -> None:
    """Compare the next part of the store with the ledger if that is due, and record missing and restored files. Set the
    pipeline's `store_doubt` where the store seems not to be the ledger's or can't be used; plans then block all
    submits."""
    now_ms, mark = pipeline.now_ms(), pipeline.store.mark()
    if mark is not None and mark.id == _known_id(pipeline) and 0 <= now_ms - mark.at_ms < LOOK_EVERY_MS:
        pipeline.store_doubt = ""
        return
    if pipeline.store_doubt and 0 <= now_ms - pipeline.store_doubted_ms < DOUBT_EVERY_MS:
        return
    with pipeline.ledger.read() as connection:
        if not files.any_stored(connection):
            return
    pipeline.store_doubted_ms = now_ms
    try:
        result = look(pipeline, first=_next_folder(pipeline), limit=PART)
        pipeline.store_doubt = result.doubt
        if not result.doubt:
            record_look(pipeline, result, actor=pipeline.owner)
            if len(result.gone) <= AT_ONCE and result.folder_exists:
                _go_on(pipeline, result)
    except OSError as error:
        pipeline.store_doubt = f"{error.filename or pipeline.store.place} can't be used: {error.strerror or error}"


def record_look(pipeline: Pipeline, result: StoreLook, *, actor: str) -> None:
    """Record missing and restored files, and make the missing results due."""
    if not (result.gone or result.back):
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=actor) as tx:
        for file, known in result.back:
            files.record_restored(tx, file.key, known, "the file is in the store again")
        for file, cause in result.gone[:AT_ONCE]:
            files.record_missing(tx, file, cause)


def accept_store(pipeline: Pipeline, *, actor: str) -> int:
    """Accept the media store as the ledger's, on the operator's decision, and fetch all missing files again where
    possible. Return the number of missing files."""
    pipeline.store.make()
    gone = 0
    while True:
        result = look(pipeline)
        if not (result.gone or result.back):
            break
        record_look(pipeline, result, actor=actor)
        gone += min(len(result.gone), AT_ONCE)
    _mark(pipeline)
    pipeline.store_doubt = ""
    return gone


def _known_id(pipeline: Pipeline) -> str:
    """Return the id of the store that this home last used, because another home's store has a mark too."""
    try:
        return (pipeline.settings.state_dir / _SEEN).read_text(encoding="utf-8")
    except OSError:
        return ""


def _next_folder(pipeline: Pipeline) -> int:
    """Return the folder where the comparison goes on; the first one if none was begun."""
    try:
        number = int((pipeline.settings.state_dir / _NEXT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0
    return number if 0 < number < len(FOLDERS) else 0


def _go_on(pipeline: Pipeline, result: StoreLook) -> None:
    """Save where the next round goes on; mark the store as compared if that was its end."""
    following = pipeline.settings.state_dir / _NEXT
    if result.next_folder is not None:
        with open_private(following, "w") as file:
            file.write(str(result.next_folder))
        return
    following.unlink(missing_ok=True)
    _mark(pipeline)


def _mark(pipeline: Pipeline) -> None:
    """Mark the store as compared now, and save its id as this home's."""
    store_id = pipeline.store.set_mark(at_ms=pipeline.now_ms(), new_id=pipeline.new_token())
    if store_id != _known_id(pipeline):
        with open_private(pipeline.settings.state_dir / _SEEN, "w") as file:
            file.write(store_id)
