"""The public address of `extend-pipeline callbacks`, where an account's provider may call back."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field

from extend_pipeline.base.net import is_local
from extend_pipeline.config.fields.addresses import public_prefix
from extend_pipeline.config.fields.text import ConfigModel, field_error, schema_as
from extend_pipeline.config.model.credentials import EnvName

_HINT = "Write it like https://hooks.example.com/extend-pipeline."


class Callbacks(ConfigModel):
    """Lets the provider call back on every change of a task. Off unless it is configured.

    Each attempt gets its own address below `url`. A callback only makes its task due now; the state is queried with the
    account's credentials.
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


def checked(callbacks: Callbacks | None, *, allow_local: bool) -> Callbacks | None:
    """Return the callbacks with a normalised URL. Raises the field's error if the provider can't reach the URL or would
    send to it unencrypted."""
    if callbacks is None:
        return None
    url = public_prefix(callbacks.url, allow_local=allow_local)
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_local(parts.hostname or ""):
        raise field_error("has a url through which the address of each attempt would travel in the open", _HINT)
    return callbacks.model_copy(update={"url": url})
