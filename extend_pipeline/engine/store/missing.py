"""What a person should hear of the media store: films that are gone, until when they can be fetched again, and whether
the store is there at all."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.look import StoreLook, look
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import Cause, ExpectedFile, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFile:
    """One file that is not in the store as it should be. `state` is `missing` or `lost`; `until_ms` (UTC) is when its
    provider stops keeping it, None where nobody need be asked; `message` is what the last try to get it said. Nobody
    can ask for it where `account_is_known` is False: accounts.yaml doesn't give its account."""

    where: str
    role: Role
    account: str
    path: str | None
    cause: Cause
    state: str
    since_ms: int
    until_ms: int | None
    message: str
    account_is_known: bool = True

    @property
    def lost(self) -> bool:
        """Return whether nobody has the file any more."""
        return self.state == "lost"

    def told(self) -> str:
        """In words, for a person."""
        what = {Role.RESULT: "the film", Role.FILM: "the assembled film", Role.SOURCE: "the copy of the source"}
        seen = {
            Cause.GONE: "is not in the media store",
            Cause.CUT: "has another length than was stored",
            Cause.DAMAGED: "is damaged: its bytes have another hash",
            Cause.NOT_MADE: "is not made yet: the file that it continues is missing",
        }
        said = f": {self.message}" if self.message else ""
        sentence = f"{what[self.role]} of {self.where} {seen[self.cause]}"
        if self.lost:
            return f"{sentence}, and can't be had any more{said}"
        if self.role is Role.FILM:
            return f"{sentence}; it is assembled again, without cost, once its parts are there{said}"
        if not self.account_is_known:
            return f"{sentence}; nobody can fetch it while accounts.yaml doesn't name account {self.account}{said}"
        until = "" if self.until_ms is None else f" before {from_ms(self.until_ms):%Y-%m-%d %H:%M} UTC"
        return f"{sentence}; it is fetched again, without cost,{until or ' as long as it is to be had'}{said}"


@dataclass(frozen=True, slots=True)
class StoreNow:
    """The media store at one moment. `doubt`: why it seems not to be the ledger's; then no file is told of by itself.
    `unknown` counts films that the ledger doesn't know, of `unknown_bytes` in all."""

    doubt: str
    missing: tuple[MissingFile, ...]
    expected: int
    unknown: int = 0
    unknown_bytes: int = 0
    unknown_paths: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Return whether every file that the ledger knows is there."""
        return not self.doubt and not self.missing


def store_now(pipeline: Pipeline) -> StoreNow:
    """Look at the whole store, and add what the ledger knows to be missing. Writes nothing, but where something is
    newly gone, the next round looks at once and has it fetched."""
    try:
        found = look(pipeline)
    except OSError as error:
        return StoreNow(f"{error.filename} can't be read: {error.strerror or error}", (), 0)
    known = tuple(_known(file, pipeline) for file in found.open if file.state in files.OPEN)
    new = () if found.doubt else tuple(_new(pipeline, found))
    if new:
        pipeline.store.forget_look()
    return StoreNow(
        found.doubt,
        (*known, *new),
        found.expected,
        found.unknown,
        found.unknown_bytes,
        tuple(found.unknown_paths),
    )


def _new(pipeline: Pipeline, found: StoreLook) -> list[MissingFile]:
    with pipeline.ledger.read() as connection:
        attempts = [file.key.owner for file, _ in found.gone if file.key.role is not Role.SOURCE]
        ends = queries.expiries(connection, attempts)
    return [_just_seen(file, cause, pipeline, ends.get(file.key.owner)) for file, cause in found.gone]


def _just_seen(file: ExpectedFile, cause: Cause, pipeline: Pipeline, ends_ms: int | None) -> MissingFile:
    return MissingFile(
        where=file.video_key if file.hop is None else f"{file.video_key}/{file.hop}",
        role=file.key.role,
        account=file.account,
        path=file.path,
        cause=cause,
        state="missing",
        since_ms=pipeline.now_ms(),
        until_ms=ends_ms if file.key.role is Role.RESULT else None,
        message="",
        account_is_known=file.account in pipeline.accounts,
    )


def _known(file: files.MissingFileRow, pipeline: Pipeline) -> MissingFile:
    return MissingFile(
        where=file.where,
        role=file.role,
        account=file.account,
        path=file.path,
        cause=file.cause,
        state=file.state,
        since_ms=file.since,
        until_ms=file.expires_at if file.role is Role.RESULT else None,
        message=file.message or file.note or "",
        account_is_known=file.account in pipeline.accounts,
    )


def what_to_do(missing: MissingFile) -> str:
    """Return what a person may type or do about one file."""
    if missing.lost:
        return (
            f"put it back as {missing.path} from a backup, or hear of it no more: "
            f"extend-pipeline media forget {missing.where}"
        )
    if missing.role is not Role.FILM and not missing.account_is_known:
        return f"put account {missing.account} back into accounts.yaml, or the file from a backup"
    return "extend-pipeline advance, or put it back from a backup"
