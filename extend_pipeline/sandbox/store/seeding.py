"""Source videos that exist from the start: reading them, and planting them once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from extend_pipeline.sandbox.config import SandboxConfig, SandboxError, Seed
from extend_pipeline.sandbox.store.database import Store
from extend_pipeline.sandbox.store.records import Video
from extend_pipeline.sandbox.surface.account_terms import Terms


def read_seed(given: Mapping[str, object], terms: Mapping[str, Terms]) -> Seed:
    """Read {video_id, duration (s), model, mode std|pro, created_at (ISO 8601 or ms), account, provider, video_url}.

    `provider` is the first surface's by default; `video_url` goes with one whose sources are URLs.
    SandboxError names the field that is wrong.
    """
    unknown = given.keys() - Seed.__dataclass_fields__.keys()
    if unknown:
        raise SandboxError(f"unknown seed fields {sorted(unknown)}; known: {sorted(Seed.__dataclass_fields__)}")
    video_id, duration = given.get("video_id"), given.get("duration")
    if not isinstance(video_id, str) or not video_id:
        raise SandboxError(f"video_id of a seed must be a non-empty string, got {video_id!r}")
    if not isinstance(duration, int | float) or isinstance(duration, bool) or not 0 < duration <= 3600:
        raise SandboxError(f"duration of seed {video_id} must be more than 0 and at most 3600 s, got {duration!r}")
    model, mode, account = given.get("model", "kling-v1-6"), given.get("mode", "std"), given.get("account")
    if not isinstance(model, str) or not model:
        raise SandboxError(f"model of seed {video_id} must be a non-empty string, got {model!r}")
    if mode not in ("std", "pro"):
        raise SandboxError(f"mode of seed {video_id} must be 'std' or 'pro', got {mode!r}")
    if account is not None and not isinstance(account, str):
        raise SandboxError(f"account of seed {video_id} must be a name, got {account!r}")
    created_at = _time(video_id, given.get("created_at"))
    provider, video_url = given.get("provider", next(iter(terms))), given.get("video_url")
    if not isinstance(provider, str) or provider not in terms:
        raise SandboxError(f"provider of seed {video_id} must be one of {list(terms)}, got {provider!r}")
    if video_url is not None and (not terms[provider].by_url or not isinstance(video_url, str) or not video_url):
        by_url = " or ".join(name for name, own in terms.items() if own.by_url)
        raise SandboxError(f"video_url of seed {video_id} must be a URL, and is for provider {by_url} only")
    return Seed(
        video_id=video_id,
        duration=float(duration),
        model=model,
        mode=str(mode),
        created_at=created_at,
        account=account,
        provider=provider,
        video_url=video_url,
    )


def plant(
    store: Store,
    config: SandboxConfig,
    terms: Mapping[str, Terms],
    seeds: Iterable[Seed | Mapping[str, object]],
    *,
    now_ms: int,
) -> list[Video]:
    """Write the seeds that are not there, in one transaction; SandboxError if one contradicts a video that is."""
    read = [seed if isinstance(seed, Seed) else read_seed(seed, terms) for seed in seeds]
    planted = []
    with store.transaction():
        for seed in read:
            there = store.video(seed.video_id)
            own = terms[seed.provider or next(iter(terms))]
            video = _video(config, own, seed, now_ms if there is None else there.created_ms)
            if there is None:
                store.add_video(video)
            elif _comparable(there) != _comparable(video):
                raise SandboxError(
                    f"video {seed.video_id} is there already with other values of {_differing(there, video)}: give the "
                    "seed a new id, or begin with an empty state (--state DIR; demo --fresh)"
                )
            if seed.video_url is not None:
                store.add_source_url(seed.video_url, seed.video_id)
            planted.append(there or video)
    return planted


def _video(config: SandboxConfig, terms: Terms, seed: Seed, default_ms: int) -> Video:
    account = seed.account or terms.accounts[0]
    if account not in terms.accounts:
        raise SandboxError(
            f"seed {seed.video_id} names account {account!r}, which the sandbox does not have for {terms.surface}"
        )
    duration_ms = round(seed.duration * 1000)
    return Video(
        video_id=seed.video_id,
        account=account,
        surface=terms.surface,
        model=seed.model,
        mode=seed.mode,
        duration_ms=duration_ms,
        created_ms=default_ms if seed.created_at is None else round(seed.created_at.timestamp() * 1000),
        parent_id=None,
        root_id=seed.video_id,
        hop=0,
        media_key=f"length-{duration_ms}" if config.share_media else seed.video_id,
        url_version=1,
    )


def _differing(there: Video, video: Video) -> str:
    names = ("provider", "account", "model", "mode", "duration", "created_at", "parent")
    pairs = zip(names, _comparable(there), _comparable(video), strict=True)
    return ", ".join(name for name, kept, planted in pairs if kept != planted)


def _comparable(video: Video) -> tuple[object, ...]:
    return video.surface, video.account, video.model, video.mode, video.duration_ms, video.created_ms, video.parent_id


def _time(video_id: str, value: object) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000, UTC)
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise SandboxError(
            f"created_at of seed {video_id} must be ISO 8601 with a zone, or ms since the epoch, got {value!r}"
        )
    return moment
