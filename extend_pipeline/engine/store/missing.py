"""Report on the media store: missing files, until when they can be fetched again, and whether the store itself is
there."""

from dataclasses import asdict, dataclass
from typing import Final

from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.look import StoreLook, look
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import Cause, MissingFileRow, Role


@dataclass(frozen=True, slots=True)
class MissingFile(MissingFileRow):
    """One file that is missing in the store or differs, and whether accounts.yaml names its account: while it doesn't,
    the file can't be fetched."""

    account_is_known: bool = True

    @property
    def lost(self) -> bool:
        """Return whether the file is no longer available anywhere."""
        return self.state == "lost"

    @property
    def last_try(self) -> str:
        """Return the result of the last try to restore it; empty where there was none."""
        return self.message or self.note or ""

    def describe(self) -> str:
        """Return a sentence for the operator."""
        what = {Role.RESULT: "the film", Role.FILM: "the assembled film", Role.SOURCE: "the copy of the source"}
        states = {
            Cause.GONE: "is not in the media store",
            Cause.CUT: "has another length than was stored",
            Cause.DAMAGED: "is damaged: its bytes have another hash",
            Cause.NOT_MADE: "is not made yet: the file that it continues is missing",
        }
        reason = f": {self.last_try}" if self.last_try else ""
        sentence = f"{what[self.role]} of {self.where} {states[self.cause]}"
        if self.lost:
            return f"{sentence}, and is no longer available{reason}"
        if self.role is Role.FILM:
            return f"{sentence}; it is assembled again, without cost, once its parts are there{reason}"
        if not self.account_is_known:
            return f"{sentence}; it can't be fetched while accounts.yaml doesn't name account {self.account}{reason}"
        until = "" if self.expires_at is None else f" before {from_ms(self.expires_at):%Y-%m-%d %H:%M} UTC"
        return f"{sentence}; it is fetched again, without cost,{until or ' as long as it is available'}{reason}"


@dataclass(frozen=True, slots=True)
class StoreNow:
    """The media store at one moment. `doubt` is why it seems not to be the ledger's; then no missing files are listed.
    `unknown` counts films that the ledger doesn't know, of `unknown_bytes` in total."""

    doubt: str
    missing: tuple[MissingFile, ...]
    expected: int
    unknown: int = 0
    unknown_bytes: int = 0
    unknown_paths: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Return whether every file that the ledger knows is there."""
        return not self.doubt and not self.missing


AT_A_GLANCE: Final = 10_000
"""Files that a command compares which is not about the store: 0.3 s. Rounds compare and record all of them."""


def store_now(pipeline: Pipeline, *, limit: int | None = None) -> StoreNow:
    """Compare the store with the ledger, or the first `limit` files of it, and add the files that are recorded as
    missing. Write nothing to the ledger; where files are newly missing, the next round compares at once and has them
    fetched."""
    try:
        result = look(pipeline, limit=limit)
    except OSError as error:
        return StoreNow(f"{error.filename} can't be read: {error.strerror or error}", (), 0)
    rows = [row for row in result.still_missing if row.state in files.OPEN]
    new = [] if result.doubt else _new(pipeline, result)
    if new:
        pipeline.store.forget_look()
    return StoreNow(
        result.doubt,
        tuple(MissingFile(**asdict(row), account_is_known=row.account in pipeline.accounts) for row in (*rows, *new)),
        result.expected,
        result.unknown,
        result.unknown_bytes,
        tuple(result.unknown_paths),
    )


def _new(pipeline: Pipeline, result: StoreLook) -> list[MissingFileRow]:
    """Return the files that a look has found missing, as the ledger will record them."""
    with pipeline.ledger.read() as connection:
        results = [file.key.owner for file, _ in result.gone if file.key.role is Role.RESULT]
        ends = queries.expiries(connection, results)
    return [
        MissingFileRow(
            owner=file.key.owner,
            role=file.key.role,
            video_key=file.video_key,
            hop=file.hop,
            account=file.account,
            path=file.path,
            cause=cause,
            state="missing",
            since=pipeline.now_ms(),
            tries=0,
            tried_at=None,
            message="",
            expires_at=ends.get(file.key.owner) if file.key.role is Role.RESULT else None,
            note=None,
        )
        for file, cause in result.gone
    ]


def what_to_do(missing: MissingFile) -> str:
    """Return the operator's options for one file: a command or an action."""
    if missing.lost:
        return f"restore it as {missing.path} from a backup, or ignore it: extend-pipeline media forget {missing.where}"
    if missing.role is not Role.FILM and not missing.account_is_known:
        return f"put account {missing.account} back into accounts.yaml, or restore the file from a backup"
    return "extend-pipeline advance, or restore it from a backup"
