"""Fetch one file from a URL into the media store, under the account's download policy, and check it."""

from collections.abc import Callable
from dataclasses import dataclass

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.media.check.container import Container, recognise_bytes
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.store import Check, Stored


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """A fetch without a valid file. `sha256` is given where a complete file failed the checks."""

    message: str
    stale_url: bool = False  # its host or its provider reports that it is gone
    refused: bool = False  # by our own rules: another try fails too until the operator changes them
    sha256: str | None = None
    cut: bool = False  # the body ended early
    progress: bool = False  # the partial file has grown


def fetch(
    pipeline: Pipeline,
    account_name: str,
    url: str,
    *,
    key: str,
    extra_host: str = "",
    heartbeat: Callable[[], object] | None = None,
    check: Check | None = None,
) -> Stored | FetchFailure:
    """Fetch one URL into the store, under the account's download rules. `key` identifies the file under any URL, so
    that a partial download is resumed. `extra_host` is a host that the catalogue names: it is also allowed, but gives
    no access to a private network. `heartbeat` is called for each chunk; with False no further try follows. `check`
    examines the complete file instead of `isolated_probe.check_file`. Some invalid files are kept in quarantine for
    each key. Raise OSError where the disk fails."""
    # imported here because they load httpx (0.1 s), which commands that only read the ledger don't need
    from extend_pipeline.engine.fetch.resume import Download, fetch_rest, fetch_whole
    from extend_pipeline.providers.http.download import DownloadPolicy, PrivateHost
    from extend_pipeline.providers.http.route import route_of

    account, settings = pipeline.accounts[account_name], pipeline.settings
    hosts = account.download_hosts
    policy = DownloadPolicy(
        hosts=(*hosts, extra_host) if hosts is not None and extra_host else hosts,
        http=account.download_http,
        allow_local=account.allow_local,
        private=PrivateHost.of(account.base_url) if account.network == "private" and not extra_host else None,
        route=route_of(account),
        max_bytes=settings.max_file_bytes,
        idle_timeout_s=settings.download_silence_s,
        is_video=lambda head: isinstance(recognise_bytes(head), Container),
    )
    download = Download(pipeline.store, key, url, policy, heartbeat, check or isolated_probe.check_file)
    failpoint("collect.before_download")
    try:
        with pipeline.store.partial(key) as partial:
            if partial is not None:
                return fetch_rest(download, partial)
        # another process has the partial file open and may never continue, so this one doesn't wait for it
        return fetch_whole(download)
    except isolated_probe.ProbeUnavailable as error:
        return could_not_probe(error)


def source_key(account: str, url: str) -> str:
    """Return the key of a source's download. The query string is left out: it may be a signature that changes."""
    return f"source:{account}:{url.partition('?')[0]}"


def record_source(tx: LedgerTransaction, video_key: str, source: Stored) -> None:
    """Record that the copy of a video's source is in the store."""
    duration_ms = source.probe.duration_ms
    catalog_sync.source_stored(tx, video_key, sha256=source.sha256, path=source.path, duration_ms=duration_ms)


def could_not_probe(error: isolated_probe.ProbeUnavailable) -> FetchFailure:
    """Return the failure of a fetch whose file could not be probed now; it is fetched again later."""
    return FetchFailure(f"the file could not be checked, and is fetched again: {error}")
