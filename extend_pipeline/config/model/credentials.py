"""Credentials of an account: the names of environment variables, never their values."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from extend_pipeline.config.fields.text import ConfigModel, field_error, schema_as

_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*\Z", re.ASCII)
# 24 or more letters and digits without an underscore look like a key, not like a variable
_KEY_SHAPED = re.compile(r"(?=.*[0-9])[A-Z0-9]{24,}\Z", re.ASCII)


def _env_name(value: object) -> str:
    if isinstance(value, str) and value[:1] == "$" and _ENV_NAME.match(value.strip("${}")):
        raise field_error("this names an environment variable", "Write the name alone, without the $.")
    if not isinstance(value, str) or not _ENV_NAME.match(value) or _KEY_SHAPED.match(value):
        raise field_error(
            "this names an environment variable, it must not hold the secret itself",
            "Write a name such as KLING_ACCESS_KEY and put the secret into that variable.",
        )
    return value


EnvName = Annotated[str, BeforeValidator(_env_name), schema_as({"type": "string", "pattern": "^[A-Z_][A-Z0-9_]*$"})]


class KeyPair(ConfigModel):
    """A pair of keys that a JWT is signed with; the names of their environment variables."""

    access_key_env: EnvName = Field(
        description="Environment variable that holds the access key.", examples=["KLING_ACCESS_KEY"]
    )
    secret_key_env: EnvName = Field(
        description="Environment variable that holds the secret key.", examples=["KLING_SECRET_KEY"]
    )


class ApiKey(ConfigModel):
    """A key that is sent unchanged; the name of its environment variable."""

    api_key_env: EnvName = Field(description="Environment variable that holds the API key.", examples=["KLING_API_KEY"])


def api_key_field(example: str) -> Any:
    """Return the field `credentials` of an account that has one key."""
    return Field(
        description="Environment variable that holds the key; the secret itself stands nowhere.",
        examples=[f"{{api_key_env: {example}}}"],
    )


def either_form(value: object) -> str:
    """Return the union tag of credentials: `form:keys` for a pair of keys, `form:api_key` for one."""
    if isinstance(value, KeyPair | ApiKey):
        return "form:keys" if isinstance(value, KeyPair) else "form:api_key"
    return "form:api_key" if isinstance(value, Mapping) and "api_key_env" in value else "form:keys"


def one_form(value: object) -> object:
    """Return the credentials unchanged. Raises the field's error if they are written in both forms."""
    if isinstance(value, Mapping) and "api_key_env" in value and value.keys() & {"access_key_env", "secret_key_env"}:
        raise field_error("two ways to sign in are given", "Keep api_key_env, or access_key_env with secret_key_env.")
    return value
