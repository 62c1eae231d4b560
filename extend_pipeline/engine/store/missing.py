"""Report on the media store: missing files, until when they can be fetched again, and whether the store itself is
there."""

from dataclasses import dataclass

from extend_pipeline.base.units import from_ms
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.look import StoreLook, look
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import files
from extend_pipeline.ledger.write.files import Cause, ExpectedFile, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingFile:
    """One file that is missing in the store or differs. `state` is `missing` or `lost`; `until_ms` (UTC) is when its
    provider deletes it, None where it doesn't come from the provider; `message` is the result of the last try. It
    can't be fetched where `account_is_known` is False, because accounts.yaml doesn't name its account."""

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
        """Return whether the file is no longer available anywhere."""
        return self.state == "lost"

    def describe(self) -> str:
        """Return a sentence for the operator."""
        what = {Role.RESULT: "the film", Role.FILM: "the assembled film", Role.SOURCE: "the copy of the source"}
        states = {
            Cause.GONE: "is not in the media store",
            Cause.CUT: "has another length than was stored",
            Cause.DAMAGED: "is damaged: its bytes have another hash",
            Cause.NOT_MADE: "is not made yet: the file that it continues is missing",
        }
        reason = f": {self.message}" if self.message else ""
        sentence = f"{what[self.role]} of {self.where} {states[self.cause]}"
        if self.lost:
            return f"{sentence}, and is no longer available{reason}"
        if self.role is Role.FILM:
            return f"{sentence}; it is assembled again, without cost, once its parts are there{reason}"
        if not self.account_is_known:
            return f"{sentence}; it can't be fetched while accounts.yaml doesn't name account {self.account}{reason}"
        until = "" if self.until_ms is None else f" before {from_ms(self.until_ms):%Y-%m-%d %H:%M} UTC"
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


def store_now(pipeline: Pipeline) -> StoreNow:
    """Compare the whole store with the ledger, and add the files that are recorded as missing. Write nothing to the
    ledger; where files are newly missing, the next round compares at once and has them fetched."""
    try:
        result = look(pipeline)
    except OSError as error:
        return StoreNow(f"{error.filename} can't be read: {error.strerror or error}", (), 0)
    known = tuple(_known(file, pipeline) for file in result.still_missing if file.state in files.OPEN)
    new = () if result.doubt else tuple(_new(pipeline, result))
    if new:
        pipeline.store.forget_look()
    return StoreNow(
        result.doubt,
        (*known, *new),
        result.expected,
        result.unknown,
        result.unknown_bytes,
        tuple(result.unknown_paths),
    )


def _new(pipeline: Pipeline, result: StoreLook) -> list[MissingFile]:
    with pipeline.ledger.read() as connection:
        attempts = [file.key.owner for file, _ in result.gone if file.key.role is not Role.SOURCE]
        ends = queries.expiries(connection, attempts)
    return [_newly_missing(file, cause, pipeline, ends.get(file.key.owner)) for file, cause in result.gone]


def _newly_missing(file: ExpectedFile, cause: Cause, pipeline: Pipeline, ends_ms: int | None) -> MissingFile:
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
    """Return the operator's options for one file: a command or an action."""
    if missing.lost:
        return f"restore it as {missing.path} from a backup, or ignore it: extend-pipeline media forget {missing.where}"
    if missing.role is not Role.FILM and not missing.account_is_known:
        return f"put account {missing.account} back into accounts.yaml, or restore the file from a backup"
    return "extend-pipeline advance, or restore it from a backup"
