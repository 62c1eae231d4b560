"""How an account reaches its provider: whose certificates count."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Final

from pydantic import BeforeValidator

from extend_pipeline.config.fields import known_as, words, wrong

CA_DESCRIPTION: Final = (
    "Whose certificates count: public (the default), system (this machine's store, to which companies add their own), "
    "or the path of a PEM file whose certificates count besides the public ones."
)


def _ca(value: object) -> str:
    written = words(value)
    if written.lower() in ("public", "system"):
        return written.lower()
    if not PurePath(written).is_absolute() or any(not char.isprintable() for char in written):
        hint = "Write public, system, or an absolute path such as /etc/ssl/company-ca.pem."
        raise wrong("is neither public nor system nor the absolute path of a file", hint)
    return written


CertificateAuthority = Annotated[
    str, BeforeValidator(_ca), known_as({"type": "string", "examples": ["public", "system", "/etc/ssl/company-ca.pem"]})
]
