"""Where an account's upstream may call back: the address of `extend-pipeline callbacks` as the internet sees it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from extend_pipeline.base.net import is_local
from extend_pipeline.config.fields.addresses import public_prefix
from extend_pipeline.config.fields.text import ConfigModel, field_error, schema_as
from extend_pipeline.config.model.credentials import EnvName

_HINT = "Write it like https://hooks.example.com/extend-pipeline."


class Callbacks(ConfigModel):
    """Asks the upstream to call back on every change. Off unless it is written down.

    Each attempt gets an address of its own below `url`. A callback only makes its task due now: what became of it is
    asked for with the account's own credentials.
    """

    url: Annotated[str, schema_as({"type": "string", "format": "uri"})] = Field(
        description="Address of the receiver as the provider reaches it; a path of its own is added for each attempt.",
        examples=["https://hooks.example.com/extend-pipeline"],
    )
    secret_env: EnvName | None = Field(
        default=None,
        description="Environment variable that holds the signing secret (whsec_…), where the provider signs.",
        examples=["KLING_WEBHOOK_SECRET"],
    )


def checked(given: Callbacks | None, *, allow_local: bool) -> Callbacks | None:
    """Return the same with its address in one form. Raises a complaint where the provider could not call it, or where
    what it sends would travel in the open."""
    if given is None:
        return None
    url = public_prefix(given.url, allow_local=allow_local)
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_local(parts.hostname or ""):
        raise field_error("has a url through which the address of each attempt would travel in the open", _HINT)
    return given.model_copy(update={"url": url})
