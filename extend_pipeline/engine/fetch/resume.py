"""Resume the download of one file for as long as tries make progress. Loads httpx (0.1 s)."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.engine.fetch.fetch import FetchFailure
from extend_pipeline.engine.guards.disk_space import require_space
from extend_pipeline.media.check.probe import InvalidFile
from extend_pipeline.media.partial import Partial
from extend_pipeline.media.store import Check, MediaStore, Stored
from extend_pipeline.providers.http.download import DownloadInterrupted, DownloadPolicy, Fault, FaultKind, open_download
from extend_pipeline.providers.http.ranges import NoRange, Resume

TURN_S: Final = 60.0  # of tries in a row; then other results get their turn before this one continues
MIN_PROGRESS: Final = 1_024  # bytes a try must bring for the next one to follow at once
MAX_REFUSED: Final = 8  # ranges that a server refuses in a row before the whole file is asked for


@dataclass(frozen=True, slots=True)
class Download:
    """A file to fetch: its key and URL, the store that takes it, and the rules. `heartbeat` is called for each chunk;
    with False no further try follows."""

    store: MediaStore
    key: str
    url: str
    policy: DownloadPolicy
    heartbeat: Callable[[], object] | None
    check: Check


def fetch_whole(download: Download) -> Stored | FetchFailure:
    """Fetch a file in one request. An interrupted download leaves nothing; an invalid file is kept under its key."""
    store, policy = download.store, download.policy
    try:
        with open_download(download.url, policy) as body:
            if isinstance(body, Fault):
                return _fault_failure(body)
            assert not isinstance(body, NoRange)
            require_space(store, body.content_length)
            fetched = store.ingest(
                _with_heartbeat(body.chunks, download.heartbeat),
                expected_bytes=body.content_length,
                max_bytes=policy.max_bytes,
                check=download.check,
                wanted_for=download.key,
            )
    except DownloadInterrupted as error:
        return FetchFailure(error.message, refused=error.kind is FaultKind.REFUSED, cut=True)
    return _invalid_failure(fetched) if isinstance(fetched, InvalidFile) else fetched


def fetch_rest(download: Download, partial: Partial) -> Stored | FetchFailure:
    """Fetch the rest of a partial file. A try that was cut but made progress is followed by the next at once."""
    began, ends, heartbeat = partial.size, time.monotonic() + TURN_S, download.heartbeat
    try:
        while True:
            size_before, invalid_before = partial.size, partial.facts.unsound
            fetched = _once(download, partial)
            if isinstance(fetched, Stored):
                return fetched
            # begun anew, to find out whether the same invalid bytes come again
            begun_anew = partial.facts.unsound != invalid_before
            has_grown = begun_anew or partial.size - size_before >= MIN_PROGRESS
            if (
                not (fetched.cut and has_grown)
                or time.monotonic() > ends
                or (heartbeat is not None and heartbeat() is False)
            ):
                return replace(fetched, progress=partial.size > began)
    except OSError:
        partial.discard()  # a full disk needs the space
        raise


def _once(download: Download, partial: Partial) -> Stored | FetchFailure:
    if partial.size and partial.size == partial.facts.total:
        return _finished(download, partial)
    resume = _resume(partial)
    try:
        with open_download(download.url, download.policy, resume) as body:
            if isinstance(body, Fault):
                if resume is not None and body.status is not None:
                    partial.note(refused=partial.facts.refused + 1)
                return _fault_failure(body)
            if not isinstance(body, NoRange):
                if body.start == 0:
                    partial.begin(body.validator, body.total)
                else:
                    partial.note(joined=True, refused=0, total=body.total)
                require_space(download.store, body.content_length)
                partial.append(_with_heartbeat(body.chunks, download.heartbeat))
    except DownloadInterrupted as error:
        if error.kind is FaultKind.REFUSED:
            partial.begin(None, None)
            return FetchFailure(error.message, refused=True)
        return FetchFailure(f"{error.message}; {partial.size} bytes are kept", cut=True)
    if isinstance(body, NoRange) and body.total != partial.size:
        partial.begin(None, None)  # another file, or a server that knows no ranges
        return _once(download, partial)
    if (body_total := partial.facts.total) and partial.size < body_total:
        return FetchFailure(f"{partial.size} of {body_total} bytes came, and are kept", cut=True)
    return _finished(download, partial)


def _resume(partial: Partial) -> Resume | None:
    facts = partial.facts
    if not partial.size or facts.refused >= MAX_REFUSED:
        return None
    return Resume(partial.size, facts.validator, facts.total)


def _finished(download: Download, partial: Partial) -> Stored | FetchFailure:
    """Check a complete file. An invalid one that was joined from several responses is fetched again from the start;
    only the same bytes a second time prove that the provider has no other file."""
    sha256 = partial.sha256()
    is_final = not partial.facts.joined or partial.facts.unsound == sha256
    fetched = download.store.ingest_partial(partial, sha256, check=download.check, quarantine=is_final)
    if isinstance(fetched, Stored):
        return fetched
    if is_final:
        return _invalid_failure(fetched)
    partial.begin(None, None, unsound=sha256)
    return _once(download, partial)


def _fault_failure(fault: Fault) -> FetchFailure:
    return FetchFailure(
        fault.message, stale_url=fault.kind is FaultKind.EXPIRED, refused=fault.kind is FaultKind.REFUSED
    )


def _invalid_failure(invalid: InvalidFile) -> FetchFailure:
    place = "" if invalid.kept is None else f" (kept in the media store as {invalid.kept})"
    return FetchFailure(f"the file is no valid video: {invalid.reason}{place}", sha256=invalid.sha256)


def _with_heartbeat(chunks: Iterable[bytes], heartbeat: Callable[[], object] | None) -> Iterator[bytes]:
    for chunk in chunks:
        if heartbeat is not None:
            heartbeat()
        yield chunk
