"""Tell whether two paid steps buy the same thing, by what they mean and not by how they are written. Pure.

The digests here are stored (`attempts.words`, `attempts.purchase`): a change of a rule needs a migration that computes
them anew.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.config.digest import digest

IMPLIED: Final[Mapping[str, object]] = {"cfg_scale": 0.5, "watermark": False}
"""What parameters mean that are left out, by their names (docs/upstream/kling.md, "Submit"). Stored digests rest on
this, so that nothing may be added: where a provider documents a value for another parameter, its models write that
value into every step."""


def words_digest(params: Mapping[str, object]) -> str:
    """Return the digest of what a step's parameters mean: a value that the provider takes anyway, spaces around a text,
    line ends, the form of a letter and the signature of a link make no difference."""
    meant = {name: _meaning(value) for name, value in params.items()}
    if "last_frame_sha256" in meant:
        meant.pop("last_frame_url", None)  # a file is the same image at any path
    return digest({name: value for name, value in meant.items() if IMPLIED.get(name, _NOTHING) != value})


def purchase_digest(provider: str, parent: str, params: Mapping[str, object]) -> str:
    """Return the digest of one purchase: which system extends which parent (its id or URL there) by which words."""
    return digest({"provider": provider, "parent": without_signature(parent), "words": words_digest(params)})


def _meaning(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n"))
    return without_signature(text.strip())


_NOTHING = object()
