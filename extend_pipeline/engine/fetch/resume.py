"""Fetches one file into what has come of it before, for as long as tries make progress. Loads httpx (0.1 s)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from extend_pipeline.engine.fetch.fetch import FetchFailure
from extend_pipeline.engine.guards.disk_space import require_space
from extend_pipeline.media.check.probe import InvalidFile
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.partial import Partial
from extend_pipeline.media.store import MediaStore, Stored
from extend_pipeline.providers.http.download import DownloadInterrupted, DownloadPolicy, Fault, FaultKind, open_download
from extend_pipeline.providers.http.ranges import NoRange, Resume

TURN_S: Final = 60.0  # of tries in a row; then other results get their turn, and this one goes on a moment later
MIN_PROGRESS: Final = 1_024  # bytes a try must bring for the next one to follow at once
MAX_REFUSED: Final = 8  # ranges that a server refuses in a row before the whole file is asked for


def fetch_whole(
    store: MediaStore, key: str, url: str, policy: DownloadPolicy, beat: Callable[[], object] | None = None
) -> Stored | FetchFailure:
    """Fetch a file in one go; nothing of it stays where it breaks off, and `key` names it where it is unsound."""
    try:
        with open_download(url, policy) as body:
            if isinstance(body, Fault):
                return _missed(body)
            assert not isinstance(body, NoRange)
            require_space(store, body.content_length)
            got = store.ingest(
                _beating(body.chunks, beat),
                expected_bytes=body.content_length,
                max_bytes=policy.max_bytes,
                check=isolated_probe.check_file,
                wanted_for=key,
            )
    except DownloadInterrupted as error:
        return FetchFailure(error.message, refused=error.kind is FaultKind.REFUSED, cut=True)
    return _unsound(got) if isinstance(got, InvalidFile) else got


def fetch_on(
    store: MediaStore,
    partial: Partial,
    url: str,
    policy: DownloadPolicy,
    beat: Callable[[], object] | None = None,
) -> Stored | FetchFailure:
    """Fetch what a partial file lacks. A try that was cut and brought something is followed by the next at once."""
    began, ends = partial.size, time.monotonic() + TURN_S
    try:
        while True:
            before, unsound = partial.size, partial.facts.unsound
            got = _once(store, partial, url, policy, beat)
            if isinstance(got, Stored):
                return got
            begun_anew = partial.facts.unsound != unsound  # to find out whether the same bytes come once more
            enough = begun_anew or partial.size - before >= MIN_PROGRESS
            if not (got.cut and enough) or time.monotonic() > ends or (beat is not None and beat() is False):
                return replace(got, progress=partial.size > began)
    except OSError:
        partial.discard()  # a disk that is full needs the room
        raise


def _once(
    store: MediaStore, partial: Partial, url: str, policy: DownloadPolicy, beat: Callable[[], object] | None
) -> Stored | FetchFailure:
    if partial.size and partial.size == partial.facts.total:
        return _finished(store, partial, url, policy, beat)
    resume = _resume(partial)
    try:
        with open_download(url, policy, resume) as body:
            if isinstance(body, Fault):
                if resume is not None and body.status is not None:
                    partial.note(refused=partial.facts.refused + 1)
                return _missed(body)
            if not isinstance(body, NoRange):
                if body.start == 0:
                    partial.begin(body.validator, body.total)
                else:
                    partial.note(joined=True, refused=0, total=body.total)
                require_space(store, body.content_length)
                partial.append(_beating(body.chunks, beat))
    except DownloadInterrupted as error:
        if error.kind is FaultKind.REFUSED:
            partial.begin(None, None)
            return FetchFailure(error.message, refused=True)
        return FetchFailure(f"{error.message}; {partial.size} bytes are kept", cut=True)
    if isinstance(body, NoRange) and body.total != partial.size:
        partial.begin(None, None)  # another file, or a server that knows no ranges
        return _once(store, partial, url, policy, beat)
    if (body_total := partial.facts.total) and partial.size < body_total:
        return FetchFailure(f"{partial.size} of {body_total} bytes came, and are kept", cut=True)
    return _finished(store, partial, url, policy, beat)


def _resume(partial: Partial) -> Resume | None:
    facts = partial.facts
    if not partial.size or facts.refused >= MAX_REFUSED:
        return None
    return Resume(partial.size, facts.validator, facts.total)


def _finished(
    store: MediaStore, partial: Partial, url: str, policy: DownloadPolicy, beat: Callable[[], object] | None
) -> Stored | FetchFailure:
    """Check a file that is whole. One that was joined from several answers and is no sound film is fetched from the
    start before it counts: only the same bytes once more are what the provider has."""
    sha256 = partial.sha256()
    counts = not partial.facts.joined or partial.facts.unsound == sha256
    got = store.take_in(partial, sha256, check=isolated_probe.check_file, quarantine=counts)
    if isinstance(got, Stored):
        return got
    if counts:
        return _unsound(got)
    partial.begin(None, None, unsound=sha256)
    return _once(store, partial, url, policy, beat)


def _missed(fault: Fault) -> FetchFailure:
    return FetchFailure(
        fault.message, stale_url=fault.kind is FaultKind.EXPIRED, refused=fault.kind is FaultKind.REFUSED
    )


def _unsound(broken: InvalidFile) -> FetchFailure:
    place = "" if broken.kept is None else f" (kept in the media store as {broken.kept})"
    return FetchFailure(f"what came is no sound video: {broken.reason}{place}", sha256=broken.sha256)


def _beating(chunks: Iterable[bytes], beat: Callable[[], object] | None) -> Iterator[bytes]:
    for chunk in chunks:
        if beat is not None:
            beat()
        yield chunk
