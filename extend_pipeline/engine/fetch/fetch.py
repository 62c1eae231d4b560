"""Brings one file from a URL into the media store: policy in, checked file or the reason out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.media.check.container import Container, recognise_bytes
from extend_pipeline.media.isolation import isolated_probe
from extend_pipeline.media.store import Stored


@dataclass(frozen=True, slots=True)
class FetchFailure:
    """A fetch that gave no sound file. `sha256` is known where a whole file came and failed the checks."""

    message: str
    stale_url: bool = False  # its host or its provider says that it is gone; everything else is no end of it
    refused: bool = False  # by our own rules: another try won't differ until somebody mends them
    sha256: str | None = None
    cut: bool = False  # the body broke off before its end
    progress: bool = False  # more of the file is there than before


def fetch(
    pipeline: Pipeline,
    account_name: str,
    url: str,
    *,
    key: str,
    also_from: str = "",
    beat: Callable[[], object] | None = None,
) -> Stored | FetchFailure:
    """Fetch one URL into the store, within the account's download rules. `key` names the file whatever its URL: what
    came of it before is gone on with. `also_from` is a host that the catalogue names: it is allowed besides, and leads
    into no private network. `beat` is called again and again while bytes come. Of what can't be read as a film some
    files are kept in quarantine for each key. Raises OSError where the disk fails."""
    # here, since they load httpx (0.1 s), which those who only look at the ledger need not wait for
    from extend_pipeline.engine.fetch.resume import fetch_on, fetch_whole
    from extend_pipeline.providers.http.download import DownloadPolicy, PrivateHost
    from extend_pipeline.providers.http.route import route_of

    account, settings = pipeline.accounts[account_name], pipeline.settings
    hosts = account.download_hosts
    policy = DownloadPolicy(
        hosts=(*hosts, also_from) if hosts is not None and also_from else hosts,
        http=account.download_http,
        allow_local=account.allow_local,
        private=PrivateHost.of(account.base_url) if account.network == "private" and not also_from else None,
        route=route_of(account),
        max_bytes=settings.max_file_bytes,
        idle_timeout_s=settings.download_silence_s,
        is_video=lambda head: isinstance(recognise_bytes(head), Container),
    )
    failpoint("collect.before_download")
    try:
        with pipeline.store.partial(key) as partial:
            if partial is not None:
                return fetch_on(pipeline.store, partial, url, policy, beat)
        # its writer may have been stopped for good: another one must not wait for it
        return fetch_whole(pipeline.store, key, url, policy, beat)
    except isolated_probe.ProbeUnavailable as error:
        return could_not_probe(error)


def source_key(account: str, url: str) -> str:
    """Return the key of a source's download. What follows `?` may be a signature, which changes."""
    return f"source:{account}:{url.partition('?')[0]}"


def could_not_probe(error: isolated_probe.ProbeUnavailable) -> FetchFailure:
    """Return a fetch whose file could not be looked at here and now; it is fetched again later."""
    return FetchFailure(f"what came could not be checked, and is fetched again: {error}")
