"""Fetches and measures sources before their first hop, where a provider limits their length or nobody has said it.
Costs nothing: it is a download of what the studio owns already."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.engine.fetch.fetch import FetchFailure, fetch, source_key
from extend_pipeline.engine.guards.disk_space import DiskError, as_disk_error
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.model import PlanInput, SourceView
from extend_pipeline.engine.polling.schedule import source_is_due
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.media.store import Stored
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed
from extend_pipeline.providers.registry import spec_of

TRIES: Final = 3
DONE: Final = ("complete", "withdrawn")


@dataclass
class PrepareReport:
    """What one round of preparing did; lists of video keys."""

    measured: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    disk_error: DiskError | None = None


def prepare(pipeline: Pipeline, *, videos: Collection[str] | None = None) -> PrepareReport:
    """Fetch every source that a plan waits for; nothing while the catalogue or the accounts have a mistake, since it
    prepares a submit."""
    report = PrepareReport()
    if pipeline.configuration.problems:
        return report
    waiting = _waiting(pipeline, videos)
    if not waiting:
        return report
    with ThreadPoolExecutor(pipeline.settings.max_downloads, thread_name_prefix="prepare") as pool:
        for video, got in zip(waiting, pool.map(lambda video: _fetch_or_fail(pipeline, video), waiting), strict=True):
            if isinstance(got, DiskError):
                report.disk_error = got
                break
            with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
                if isinstance(got, Stored):
                    length = got.probe.duration_ms
                    catalog_sync.source_stored(tx, video.key, sha256=got.sha256, path=got.path, duration_ms=length)
                    report.measured.append(video.key)
                else:
                    catalog_sync.source_unreachable(tx, video.key, message=got.message)
                    report.unreachable.append(video.key)
    return report


def measured(pipeline: Pipeline, given: PlanInput) -> PlanInput:
    """Return the input of a plan with the sources measured now that nobody has measured yet. The ledger is told
    nothing; the files go to the pipeline's store, which may be one that is thrown away."""
    waiting = [v for v in given.videos if needs_source(v) and given.sources.get(v.key, SourceView()).probed_ms is None]
    with ThreadPoolExecutor(pipeline.settings.max_downloads, thread_name_prefix="measure") as pool:
        found = zip(waiting, pool.map(lambda video: fetch_source(pipeline, video), waiting), strict=True)
        seen = {video.key: _seen(got) for video, got in found}
    return replace(given, sources={**given.sources, **seen}, next_hops={})


def _seen(got: Stored | FetchFailure) -> SourceView:
    return SourceView(got.probe.duration_ms) if isinstance(got, Stored) else SourceView(fault=got.message)


def needs_source(video: Video) -> bool:
    """Return whether the source is fetched before its first hop: to be measured, and to be there when a film is
    assembled."""
    return not isinstance(video.source, BranchSource) and not spec_of(video.provider).reports_parent


def _waiting(pipeline: Pipeline, videos: Collection[str] | None) -> list[Video]:
    catalogue = pipeline.configuration.catalogue.videos
    lacking = pipeline.without_key()
    wanted = {
        key: video
        for key, video in catalogue.items()
        if needs_source(video) and (videos is None or key in videos) and video.account not in lacking
    }
    if not wanted:
        return []
    with pipeline.ledger.read() as connection:
        rows = queries.videos(connection, keys=wanted)
    now_ms = pipeline.now_ms()
    due = [row for row in rows if row.source_probed_ms is None and source_is_due(row.source_fault_at, now_ms)]
    return [wanted[row.video_key] for row in due if row.state not in DONE]


def _fetch_or_fail(pipeline: Pipeline, video: Video) -> Stored | FetchFailure | DiskError:
    try:
        return fetch_source(pipeline, video)
    except OSError as error:
        told = as_disk_error(error, pipeline.settings, awaited=0)
        if told is None:
            raise
        return told


def fetch_source(pipeline: Pipeline, video: Video) -> Stored | FetchFailure:
    """Fetch a source; a connection that breaks is tried again at once, since a video waits for it."""
    got = _fetch_once(pipeline, video)
    for _ in range(TRIES - 1):
        if isinstance(got, Stored) or got.refused or got.stale_url or got.sha256:
            break
        got = _fetch_once(pipeline, video)
    return got


def _fetch_once(pipeline: Pipeline, video: Video) -> Stored | FetchFailure:
    assert not isinstance(video.source, BranchSource)
    url = video.source.source_id
    if urlsplit(url).scheme in ("http", "https"):
        # the catalogue's own word: its host is allowed for this file, by the same rules as any other
        key = source_key(video.account, url)
        return fetch(pipeline, video.account, url, key=key, also_from=urlsplit(url).hostname or "")
    match pipeline.provider(video.account).query(url):
        case Found(view) if view.outputs:
            return fetch(pipeline, video.account, view.outputs[0].url, key=source_key(video.account, url))
        case Found(view):
            return FetchFailure(f"the provider says {view.status_word!r} of task {url} and tells no URL")
        case NotFound(answer) | QueryFailed(_, answer):
            return FetchFailure(f"the provider doesn't tell where task {url} lies: {answer.message}")
