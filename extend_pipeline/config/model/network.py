"""Fields for how an account reaches its provider: certificates, network, path prefix, proxy."""

import re
from pathlib import PurePath
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from extend_pipeline.config.fields.addresses import proxy_address
from extend_pipeline.config.fields.text import field_error, schema_as, single_value
from extend_pipeline.config.model.credentials import EnvName


def _ca(value: object) -> str:
    text = single_value(value)
    if text.lower() in ("public", "system"):
        return text.lower()
    if not PurePath(text).is_absolute() or any(not char.isprintable() for char in text):
        hint = "Write public, system, or an absolute path such as /etc/ssl/company-ca.pem."
        raise field_error("is neither public nor system nor the absolute path of a file", hint)
    return text


CertificateAuthority = Annotated[
    Annotated[
        str,
        BeforeValidator(_ca),
        schema_as({"type": "string", "examples": ["public", "system", "/etc/ssl/company-ca.pem"]}),
    ]
    | None,
    Field(
        description="Whose certificates count: public (the default), system (this machine's store, to which companies "
        "add their own), or the path of a PEM file whose certificates count besides the public ones.",
        examples=["system"],
    ),
]

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", re.ASCII)


def _prefix(value: object) -> str:
    hint = 'Write it like /kling, or "" where nothing stands before /v1 or /generations.'
    if not isinstance(value, str):
        raise field_error("is not a path", hint)
    path = value.strip().rstrip("/")
    if path and not (path.startswith("/") and all(_SEGMENT.fullmatch(part) for part in path[1:].split("/"))):
        raise field_error("is not a path", hint)
    return path


PathPrefix = Annotated[
    str, BeforeValidator(_prefix), schema_as({"type": "string", "pattern": "^(/[A-Za-z0-9._~-]+)*/?$"})
]


PROXY_DESCRIPTION: Final = (
    "The HTTP proxy that everything but hosts of one's own network goes through: its address (http://proxy:3128), "
    "environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), or none, the default."
)


def is_address(proxy: str | None) -> bool:
    """Return whether a proxy is an address, and not `none` or `environment`."""
    return proxy not in (None, "none", "environment")


def _proxy(value: object) -> str:
    text = single_value(value)
    return text.lower() if text.lower() in ("none", "environment") else proxy_address(text)


def _login_of_a_proxy(login_env: str, info: ValidationInfo) -> str:
    """Return the variable's name. Raises the field's error without a proxy's address, because the credentials would be
    sent to another proxy."""
    # an invalid proxy is the only issue to report
    if not is_address(info.data.get("proxy", "http://unread")):
        raise field_error(
            "belongs to a proxy, and none is written beside it", "Write proxy: http://proxy.example.com:3128."
        )
    return login_env


Proxy = Annotated[
    str,
    BeforeValidator(_proxy),
    schema_as({"type": "string", "examples": ["http://proxy:3128", "environment", "none"]}),
]
ProxyLogin = Annotated[
    Annotated[EnvName, AfterValidator(_login_of_a_proxy)] | None,
    Field(
        description="Environment variable that holds user:password for the proxy, where it wants them.",
        examples=["PROXY_LOGIN"],
    ),
]
"""Below a field `proxy`, because a validator sees only the fields above its own."""
