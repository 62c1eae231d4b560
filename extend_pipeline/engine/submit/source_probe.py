"""Fetch and measure sources before their first hop, where the provider doesn't report the parent. A download of the
studio's own video costs nothing."""

import threading
from collections.abc import Collection, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import urlsplit

from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.engine.fetch.fetch import FetchFailure, fetch, record_source, source_key
from extend_pipeline.engine.guards.disk_space import DiskError, as_disk_error
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.lanes import Stop
from extend_pipeline.engine.plan.model import PlanInput, SourceView
from extend_pipeline.engine.polling.schedule import source_is_due
from extend_pipeline.ledger.read import open_work
from extend_pipeline.ledger.write import catalog_sync
from extend_pipeline.media.store import Stored
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed
from extend_pipeline.providers.registry import PROVIDERS, spec_of

TRIES: Final = 3
GATHER_S: Final = 0.1  # what comes within it after the first one is recorded by one commit

_Fetched = Stored | FetchFailure | DiskError | None


@dataclass
class PrepareReport:
    """The results of one round of preparing; lists of video keys."""

    measured: list[str] = field(default_factory=list)
    unreachable: list[str] = field(default_factory=list)
    disk_error: DiskError | None = None


def prepare(
    pipeline: Pipeline, *, videos: Collection[str] | None = None, stop: threading.Event | None = None
) -> PrepareReport:
    """Fetch every source that a plan waits for, and record each within GATHER_S; none while the catalogue or the
    accounts have a mistake, because no submit can follow. Once `stop` is set, no further one is begun."""
    report = PrepareReport()
    if pipeline.configuration.problems:
        return report
    waiting = unfetched(pipeline, videos)
    if not waiting:
        return report
    stopped = Stop(stop or threading.Event())
    failed: BaseException | None = None
    with ThreadPoolExecutor(pipeline.settings.max_downloads, thread_name_prefix="prepare") as pool:
        fetches = {pool.submit(_fetch_or_fail, pipeline, video, stopped): video for video in waiting}
        try:
            pending = set(fetches)
            while pending:
                wait(pending, return_when=FIRST_COMPLETED)
                ended, pending = wait(pending, GATHER_S)
                failed = failed or next(filter(None, (each.exception() for each in ended)), None)
                _record(pipeline, {fetches[each].key: each.result() for each in ended if not each.exception()}, report)
                if failed is not None or report.disk_error is not None:
                    stopped.set()  # the others would fail too; those that are under way are recorded
        finally:
            stopped.set()
    if failed is not None:
        raise failed
    return report


def _record(pipeline: Pipeline, fetched: Mapping[str, _Fetched], report: PrepareReport) -> None:
    """Record by one commit what the fetches have found, by video."""
    stored = {key: file for key, file in fetched.items() if isinstance(file, Stored)}
    failures = {key: failure for key, failure in fetched.items() if isinstance(failure, FetchFailure)}
    disk_errors = [error for error in fetched.values() if isinstance(error, DiskError)]
    if stored or failures:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            for key, file in stored.items():
                record_source(tx, key, file)
            for key, failure in failures.items():
                catalog_sync.source_unreachable(tx, key, message=failure.message)
    report.measured.extend(stored)
    report.unreachable.extend(failures)
    report.disk_error = report.disk_error or next(iter(disk_errors), None)


def with_measured_sources(pipeline: Pipeline, plan_input: PlanInput) -> PlanInput:
    """Return the input of a plan, after measuring the sources that have no length yet. The ledger is not written; the
    files go to the pipeline's store, which may be a temporary one."""
    known = plan_input.sources
    waiting = [v for v in plan_input.videos if needs_source(v) and known.get(v.key, SourceView()).probed_ms is None]
    with ThreadPoolExecutor(pipeline.settings.max_downloads, thread_name_prefix="measure") as pool:
        results = zip(waiting, pool.map(lambda video: fetch_source(pipeline, video), waiting), strict=True)
        measured = {video.key: _source_view(fetched) for video, fetched in results}
    return replace(plan_input, sources={**known, **measured}, next_hops={})


def _source_view(fetched: Stored | FetchFailure) -> SourceView:
    return SourceView(fetched.probe.duration_ms) if isinstance(fetched, Stored) else SourceView(fault=fetched.message)


def needs_source(video: Video) -> bool:
    """Return whether the source is fetched before its first hop: to be measured, and for assembling the film."""
    return not isinstance(video.source, BranchSource) and not spec_of(video.provider).reports_source_url


def unfetched(pipeline: Pipeline, videos: Collection[str] | None) -> list[Video]:
    """Return the videos whose source is to be fetched now; their first hop is submitted when that was tried."""
    without_key, now_ms = pipeline.without_key(), pipeline.now_ms()
    providers = [spec.name for spec in PROVIDERS if not spec.reports_source_url]
    with pipeline.ledger.read() as connection:
        rows = open_work.unmeasured(connection, providers=providers, keys=videos)
    due = [row.video_key for row in rows if source_is_due(row.source_fault_at, now_ms)]
    candidates = pipeline.configuration.catalogue.of(due)
    return [video for video in candidates if needs_source(video) and video.account not in without_key]


def _fetch_or_fail(pipeline: Pipeline, video: Video, stop: threading.Event) -> _Fetched:
    """Fetch a source; return None where it is left for later, because the work was stopped before it had its tries."""
    if stop.is_set():
        return None
    try:
        fetched = fetch_source(pipeline, video, stop=stop)
    except OSError as error:
        disk_error = as_disk_error(error, pipeline.settings, awaited=0)
        if disk_error is None:
            raise
        return disk_error
    return None if isinstance(fetched, FetchFailure) and stop.is_set() else fetched


def fetch_source(pipeline: Pipeline, video: Video, *, stop: threading.Event | None = None) -> Stored | FetchFailure:
    """Fetch a source. A broken connection is retried at once, because a video waits for it; not once `stop` is set."""
    fetched = _fetch_once(pipeline, video)
    for _ in range(TRIES - 1):
        if isinstance(fetched, Stored) or fetched.refused or fetched.stale_url or fetched.sha256:
            break
        if stop is not None and stop.is_set():
            break
        fetched = _fetch_once(pipeline, video)
    return fetched


def _fetch_once(pipeline: Pipeline, video: Video) -> Stored | FetchFailure:
    assert not isinstance(video.source, BranchSource)
    url = video.source.source_id
    if urlsplit(url).scheme in ("http", "https"):
        # the catalogue names this URL, so its host is allowed for this file, under the same rules as any other
        key = source_key(video.account, url)
        return fetch(pipeline, video.account, url, key=key, extra_host=urlsplit(url).hostname or "")
    match pipeline.provider(video.account).query(url):
        case Found(view) if view.outputs:
            return fetch(pipeline, video.account, view.outputs[0].url, key=source_key(video.account, url))
        case Found(view):
            return FetchFailure(f"the provider says {view.status_word!r} of task {url} and gives no URL")
        case NotFound(answer) | QueryFailed(_, answer):
            return FetchFailure(f"the provider gives no URL for task {url}: {answer.message}")
