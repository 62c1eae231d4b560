"""The media stores by the scheme of their URL."""

from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from extend_pipeline.config.settings import Settings
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.media.store import MediaStore

STORES: Final[Mapping[str, Callable[[Settings], MediaStore]]] = {
    "file": lambda settings: LocalStore(settings.media_dir),
}
"""Stores by the scheme of EXTEND_PIPELINE_MEDIA_URL; `config.settings.MEDIA_SCHEMES` has the same schemes."""


def open_store(settings: Settings) -> MediaStore:
    """Return the media store of a home. Nothing is read or written yet."""
    return STORES[urlsplit(settings.media_url).scheme](settings)
