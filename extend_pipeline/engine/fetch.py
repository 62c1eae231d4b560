"""Brings one file from a URL into the media store: policy in, checked file or the reason out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.disk_space import require
from extend_pipeline.engine.pipeline import Pipeline
from extend_pipeline.media import confined
from extend_pipeline.media.container import Container, recognise_bytes
from extend_pipeline.media.probe import Broken
from extend_pipeline.media.store import Stored


@dataclass(frozen=True, slots=True)
class Missed:
    """A fetch that gave no sound file. `sha256` is known where a whole file came and failed the checks."""

    message: str
    stale_url: bool = False  # its host or its provider says that it is gone; everything else is no end of it
    refused: bool = False  # by our own rules: another try won't differ until somebody mends them
    sha256: str | None = None


def fetch(
    pipeline: Pipeline,
    account_name: str,
    url: str,
    *,
    wanted_for: str,
    also_from: str = "",
    beat: Callable[[], object] | None = None,
) -> Stored | Missed:
    """Fetch one URL into the store, within the account's download rules; `also_from` is a host that is allowed besides,
    and `beat` is called again and again while bytes come. What can't be read as a film is kept in quarantine, some
    files for each `wanted_for`, an attempt or a video. OSError where our own disk fails."""
    # here, since it loads httpx (0.1 s), which those who only look at the ledger need not wait for
    from extend_pipeline.providers.download import DownloadInterrupted, DownloadPolicy, Fault, FaultKind, open_download

    account, settings = pipeline.accounts[account_name], pipeline.settings
    hosts = account.download_hosts
    policy = DownloadPolicy(
        hosts=(*hosts, also_from) if hosts is not None and also_from else hosts,
        http=account.download_http,
        allow_local=account.allow_local,
        max_bytes=settings.max_file_bytes,
        deadline_s=settings.download_deadline_s,
        is_film=lambda head: isinstance(recognise_bytes(head), Container),
    )
    failpoint("collect.before_download")
    try:
        with open_download(url, policy) as body:
            if isinstance(body, Fault):
                return Missed(
                    body.message,
                    stale_url=body.kind is FaultKind.EXPIRED,
                    refused=body.kind is FaultKind.REFUSED,
                )
            require(settings.media_dir, body.content_length)
            got = pipeline.store.ingest(
                body.chunks if beat is None else _beating(body.chunks, beat),
                expected_bytes=body.content_length,
                max_bytes=settings.max_file_bytes,
                check=confined.check_file,
                wanted_for=wanted_for,
            )
    except DownloadInterrupted as error:
        return Missed(error.message, refused=error.kind is FaultKind.REFUSED)
    except confined.CouldNotProbe as error:
        return could_not_probe(error)
    if isinstance(got, Broken):
        place = "" if got.kept is None else f" (kept in the media store as {got.kept})"
        return Missed(f"what came is no sound video: {got.reason}{place}", sha256=got.sha256)
    return got


def _beating(chunks: Iterable[bytes], beat: Callable[[], object]) -> Iterator[bytes]:
    for chunk in chunks:
        beat()
        yield chunk


def could_not_probe(error: confined.CouldNotProbe) -> Missed:
    """A fetch whose file could not be looked at here and now; it is fetched again later."""
    return Missed(f"what came could not be checked, and is fetched again: {error}")
