"""Digests that are equal for steps that buy the same thing, even if they are written differently. Pure.

The digests here are stored (`attempts.words`, `attempts.purchase`): a changed rule needs a migration that computes
them again.
"""

import unicodedata
from collections.abc import Mapping
from typing import Final

from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.config.digest import digest

IMPLIED: Final[Mapping[str, object]] = {"cfg_scale": 0.5, "watermark": False}
"""The documented values of parameters that are left out, by name (docs/upstream/kling.md, "Submit"). Nothing may be
added, because stored digests depend on this: models write the documented value of any other parameter into every
step."""


def words_digest(params: Mapping[str, object]) -> str:
    """Return the digest of the meaning of a step's parameters. Implied values, spaces around a text, line ends, Unicode
    forms and the signature of a link make no difference."""
    meanings = {name: _meaning(value) for name, value in params.items()}
    if "last_frame_sha256" in meanings:
        meanings.pop("last_frame_url", None)  # a file is the same image at any path
    return digest({name: value for name, value in meanings.items() if IMPLIED.get(name, _NOTHING) != value})


def purchase_digest(provider: str, parent: str, params: Mapping[str, object]) -> str:
    """Return the digest of one purchase: the provider, the parent (its id or URL there) and the parameters."""
    return digest({"provider": provider, "parent": without_signature(parent), "words": words_digest(params)})


def _meaning(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))
    return without_signature(text.strip())


_NOTHING = object()
