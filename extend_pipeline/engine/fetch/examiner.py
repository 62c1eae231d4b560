"""Examine the file of an attempt once, while it is fetched: against the file that it continues, and for its next
hop."""

import shutil
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from extend_pipeline.engine.fetch.fetch import fetch, record_source, source_key
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.goal import goal_of
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import files
from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import Examined, ResultContext
from extend_pipeline.media.analysis.seam import UNMEASURED
from extend_pipeline.media.check.probe import InvalidFile, ValidFile
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.isolation.pool import ProbeUnavailable
from extend_pipeline.media.join.film import Joined
from extend_pipeline.media.store import MediaRef, Stored
from extend_pipeline.providers.registry import longest_added_ms, spec_of
from extend_pipeline.providers.spec import ResultKind


@dataclass(frozen=True, slots=True)
class ParentFile:
    """The file that a result continues. `missing`: the ledger has one that is not in the store now."""

    ref: MediaRef | None
    missing: bool = False


class Examiner:
    """Examine the file of an attempt, while it is fetched or afterwards, and remember what was found.

    A context that holds the file for the sampled frames of the result, until they are kept under its name, and that for
    its film, until that is stored. The copy of a source that was fetched for it is recorded in the transaction of the
    result (`record_source`); where there is none, at its end, in a transaction of its own.
    """

    def __init__(self, pipeline: Pipeline, attempt: AttemptRow) -> None:
        self._pipeline, self._attempt = pipeline, attempt
        self._stack = ExitStack()
        self._frames: Path | None = None
        self._film: Path | None = None
        self._knows_no_source = False
        """Whether `check` found no source in the ledger, so that it is not asked again."""
        self._fetched_source: Stored | None = None
        self.before = ParentFile(None)
        self.examined: Examined | None = None

    def __enter__(self) -> Self:
        """Enter the context."""
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        """Remove frames and films that were not kept, and record a fetched source. After a disk error, too, which the
        next try may have again: it would fetch the source again, and need space for it."""
        try:
            self._stack.close()
        finally:
            if self._fetched_source is not None and (error is None or isinstance(error, OSError)):
                # the first error is the one that is raised
                with nullcontext() if error is None else suppress(Exception):
                    self._record_alone()

    def _record_alone(self) -> None:
        with self._pipeline.ledger.write(now_ms=self._pipeline.now_ms(), actor=self._pipeline.owner) as tx:
            self.record_source(tx)

    def check(self, path: Path) -> ValidFile | InvalidFile:
        """Check a fetched file before it is stored, and examine it at once if the file that it continues is known. If
        that one is still to be fetched, or can't be read, the result is stored first. Raise ProbeUnavailable."""
        self.examined = None
        before = known_parent(self._pipeline, self._attempt)
        self._knows_no_source = before is None
        if before is not None:
            try:
                return self._examine(path, before)
            except ProbeUnavailable:
                raise
            except OSError:
                pass  # of the parent's file; `analyse` meets it again
        return isolated_probe.check_file(path)

    def look(self, stored: Stored) -> Examined:
        """Examine the stored file, unless that was done before it was stored; return what was found. Raise
        ProbeUnavailable, OSError."""
        if self.examined is None:
            before = self.parent_file()
            with self._pipeline.store.local(stored.ref) as path:
                self._examine(path, before)
        if self.examined is None:  # it was damaged since it was stored
            self.examined = Examined(stored.probe, seam=None if self.before.ref is None else UNMEASURED)
        return self.examined

    def parent_file(self) -> ParentFile:
        """Return the known parent; fetch the source of a first hop once if the provider gives its URL, because the
        provider deletes it after 30 days."""
        if self._fetched_source is not None:
            return ParentFile(self._fetched_source.ref)
        known = None if self._knows_no_source else known_parent(self._pipeline, self._attempt)
        if known is not None:
            return known
        account, url = self._attempt.account, self._attempt.parent_url
        assert url is not None
        fetched = fetch(self._pipeline, account, url, key=source_key(account, url))
        if not isinstance(fetched, Stored):
            return ParentFile(None)
        self._fetched_source = fetched
        return ParentFile(fetched.ref)

    def record_source(self, tx: LedgerTransaction) -> None:
        """Record the copy of the source that was fetched, if one was, and forget it."""
        if (source := self._fetched_source) is not None:
            record_source(tx, self._attempt.video_key, source)
            self._fetched_source = None

    def forget_source(self) -> None:
        """Forget the copy of the source that was fetched, because another one is fetched."""
        self._fetched_source = None

    def keep_frames(self, sha256: str) -> None:
        """Keep the sampled frames of the result, whose sha256 is given, until its next hop comes."""
        if self.examined is not None and self.examined.kept and self._frames is not None:
            self._pipeline.store.kept_frames.keep(self._frames, sha256)

    def join(self, *, parent: Path, segment: Path, out: Path, max_bytes: int) -> Joined | InvalidFile:
        """Put the film of both parts at `out`: the one that was written while the segment was examined, else a new
        one. Raise ProbeUnavailable, OSError."""
        film = None if self.examined is None else self.examined.film
        if film is None or self._film is None:
            return isolated_probe.join(parent=parent, segment=segment, out=out, max_bytes=max_bytes)
        shutil.move(self._film, out)
        return film

    def _examine(self, path: Path, before: ParentFile) -> ValidFile | InvalidFile:
        self.before = before
        store, attempt, ref = self._pipeline.store, self._attempt, before.ref
        self._stack.close()
        kind = stored_kind(attempt) or declared_kind(self._pipeline, attempt.account)
        next_hop = None if kind is OutputKind.SEGMENT else _next_hop(self._pipeline, attempt)
        self._frames = None if next_hop is None else self._stack.enter_context(store.kept_frames.new())
        assembles = kind is OutputKind.SEGMENT and ref is not None
        self._film = self._stack.enter_context(store.kept_frames.new()) if assembles else None
        with ExitStack() as opened:
            parent = None if ref is None else opened.enter_context(store.local(ref))
            found = isolated_probe.examine(
                path,
                ResultContext(
                    parent=parent,
                    parent_frames=None if ref is None else store.kept_frames.find(ref.sha256),
                    parent_ms=attempt.parent_duration_ms,
                    kind=kind,
                    longest_added_ms=longest_added_ms(),
                    keep=self._frames,
                    keep_below_ms=None if next_hop is None else next_hop.below_ms,
                    film=self._film,
                    max_film_bytes=self._pipeline.settings.max_file_bytes,
                ),
            )
        if isinstance(found, InvalidFile):
            return found
        self.examined = found
        return ValidFile(found.probe)


def put_poster(pipeline: Pipeline, stored: Stored, examiner: Examiner) -> str | None:
    """Store the poster of a stored file; return None where it has no video frames for one. Raise ProbeUnavailable."""
    poster = examiner.look(stored).poster
    return None if poster is None else str(pipeline.store.put_poster(stored.sha256, poster))


def known_parent(pipeline: Pipeline, attempt: AttemptRow) -> ParentFile | None:
    """Return the file of the previous hop; for a first hop the copy of the source, None if the provider gives its URL
    and it was not fetched yet."""
    is_missing = False
    with pipeline.ledger.read() as connection:
        if attempt.parent_attempt_id is not None:
            before = queries.attempt(connection, attempt.parent_attempt_id)
            relative = (before.film_path or before.path) if before is not None else None
            is_missing = attempt.parent_attempt_id in files.without_file(connection)
        else:
            relative = queries.source_path(connection, attempt.video_key)
    if relative is None:
        return None if attempt.parent_attempt_id is None and attempt.parent_url else ParentFile(None)
    ref = MediaRef.parse(relative)
    exists = pipeline.store.exists(ref) and not is_missing
    return ParentFile(ref) if exists else ParentFile(None, missing=True)


def declared_kind(pipeline: Pipeline, account: str) -> OutputKind | None:
    """Return the kind of an account's files by its provider's documentation or by accounts.yaml; None where both leave
    it open. A result that is documented as full is measured nevertheless, for the record."""
    if spec_of(pipeline.accounts[account].provider).result_kind is ResultKind.SEGMENT:
        return OutputKind.SEGMENT
    kind = OutputKind(getattr(pipeline.accounts[account], "output", OutputKind.UNKNOWN))
    return None if kind is OutputKind.UNKNOWN else kind


def stored_kind(attempt: AttemptRow) -> OutputKind | None:
    """Return the kind that was found when the attempt's file was stored, if it was; a restored file is of that kind."""
    kind = None if attempt.output_kind is None else OutputKind(attempt.output_kind)
    return None if kind is OutputKind.UNKNOWN else kind


@dataclass(frozen=True, slots=True)
class _NextHop:
    """A video goes on after a hop, if the film is shorter than `below_ms` (None: however long it is)."""

    below_ms: int | None


def _next_hop(pipeline: Pipeline, attempt: AttemptRow) -> _NextHop | None:
    """Return on which condition another hop follows an attempt's, None if none does."""
    video = pipeline.configuration.catalogue.videos.get(attempt.video_key)
    if video is None or attempt.state is AttemptState.STORED:
        return None
    goal = goal_of(video, pipeline.accounts[attempt.account])
    if goal.steps is not None:
        return _NextHop(None) if attempt.hop < goal.steps else None
    return _NextHop(goal.enough_ms)
