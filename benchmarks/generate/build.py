"""Build a home whose ledger has any number of videos, finished ones and open ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.generate.copies import SUMMED, Copier, SharedRows
from benchmarks.generate.films import FilmLinks, draw_films
from benchmarks.generate.history import History, record_history
from benchmarks.generate.home import account_name, source_id, video_key, write_accounts, write_catalogue
from benchmarks.generate.load import filling
from benchmarks.generate.names import VideoNames, names_of
from benchmarks.generate.tasks import plant_tasks
from extend_pipeline.base.days import UTC_ZONE, day_of
from extend_pipeline.base.units import from_ms
from extend_pipeline.config.load import Configuration, load_configuration
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.declarations import declarations
from extend_pipeline.engine.guards.ledger_look import remember
from extend_pipeline.ledger.database import open_ledger
from extend_pipeline.media.stores import open_store
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.sandbox import SandboxConfig
from extend_pipeline.sandbox.core import Core

DAY_MS: Final = 86_400_000
AT_ONCE: Final = 1_000  # videos whose entries are in memory at a time


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a home shall have: `videos` of `hops` hops each, of which the last `open_videos` have their last hop in
    flight. The finished ones are spread over `days` before `now_ms` (UTC ms). With `sandbox`, the state of a sandbox
    to be served at `url` is written there too; its tasks end `runs_for_s` after now."""

    videos: int
    hops: int
    now_ms: int
    open_videos: int = 0
    accounts: int = 1
    days: int = 30
    seed: int = 0
    files: bool = True
    url: str = "http://127.0.0.1:9"
    first_after_s: float = 0
    poll_every_s: float = 0.2
    sandbox: Path | None = None
    runs_for_s: float = 3600


def build_home(settings: Settings, wanted: Wanted) -> int:
    """Write a home with its ledger, its films (links to one film a hop) and its memory of the ledger; return the number
    of events. Raises LedgerNotEmptyError."""
    home = settings.home
    home.mkdir(parents=True, exist_ok=True)
    write_accounts(home, wanted.accounts, url=wanted.url, first_after=wanted.first_after_s, every=wanted.poll_every_s)
    with tempfile.TemporaryDirectory(prefix="ep-generate-") as name:
        core = Core(wanted.sandbox or Path(name), SandboxConfig(share_media=True))
        try:
            return _build(settings, wanted, core)
        finally:
            core.close()


def _build(settings: Settings, wanted: Wanted, core: Core) -> int:
    films = draw_films(core, wanted.hops, settings.state_dir / "drawn")
    finished = record_history(films, seed=wanted.seed, in_flight=False)
    in_flight = record_history(films, seed=wanted.seed, in_flight=True)
    open_store(settings).make()
    links = FilmLinks(films, settings.media_dir)
    shared, seq, opened = SharedRows(), 0, list[VideoNames]()
    copiers = {False: Copier(finished), True: Copier(in_flight)}
    with closing(open_ledger(settings.ledger_url)) as ledger:
        with filling(ledger) as loader:
            for number, names, began_ms in _videos(settings, wanted, finished):
                is_open = number >= wanted.videos - wanted.open_videos
                copier = copiers[is_open]
                rows = copier.copy(names, began_ms=began_ms, after_seq=seq)
                seq += copier.events
                for table in SUMMED:
                    shared.add(table, rows.pop(table, ()))
                loader.add(rows)
                if wanted.files:
                    for hop, own in enumerate(names.hops[: len(names.hops) - is_open], start=1):
                        links.add(hop, own.path)
                if is_open:
                    opened.append(names)
            loader.add(shared.rows())
        remember(settings, ledger)
    write_catalogue(settings.home, range(wanted.videos), hops=wanted.hops, accounts=wanted.accounts)
    if wanted.sandbox is not None:
        done_ms = wanted.now_ms + int(wanted.runs_for_s * 1000)
        plant_tasks(core, opened, made_ms=wanted.now_ms - 60_000, done_ms=done_ms)
    return seq


def _videos(settings: Settings, wanted: Wanted, history: History) -> Iterator[tuple[int, VideoNames, int]]:
    """Yield number, names and beginning (UTC ms) of each video."""
    write_catalogue(settings.home, [0], hops=wanted.hops, accounts=wanted.accounts)
    configuration = load_configuration(settings, PROVIDERS, now=from_ms(wanted.now_ms))
    (model,) = configuration.catalogue.videos.values()
    for start in range(0, wanted.videos, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, wanted.videos))
        videos = [_video(model, number, wanted.accounts) for number in numbers]
        digests = _definition_digests(configuration, videos)
        for number, video, digest in zip(numbers, videos, digests, strict=True):
            began_ms = _begins(wanted, number, history.lasts_ms)
            day = day_of(began_ms, UTC_ZONE)
            yield number, names_of(video, number, digest, day, history.params, seed=wanted.seed), began_ms


def _video(model: Video, number: int, accounts: int) -> Video:
    source = model.source.model_copy(update={"video_id": source_id(number)})
    return replace(model, key=video_key(number), account=account_name(number % accounts), source=source)


def _definition_digests(configuration: Configuration, videos: list[Video]) -> list[str]:
    catalogue = replace(configuration.catalogue, videos={video.key: video for video in videos})
    return [entry.definition_digest for entry in declarations(replace(configuration, catalogue=catalogue))]


def _begins(wanted: Wanted, number: int, lasts_ms: int) -> int:
    """Return when a video's history begins (UTC ms): those of the finished ones lie within one of the days before
    today, in turn; those of the open ones have just come to now."""
    finished = wanted.videos - wanted.open_videos
    if number >= finished:
        return wanted.now_ms - lasts_ms - 1_000
    today_ms = wanted.now_ms // DAY_MS * DAY_MS
    day, of_day = divmod(number * wanted.days, finished)
    return today_ms - (wanted.days - day) * DAY_MS + of_day * (DAY_MS - lasts_ms) // finished
