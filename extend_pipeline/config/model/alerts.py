"""The `alerts:` of accounts.yaml: where alerts go, and what they are about."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from extend_pipeline.config.fields.addresses import receiver_url, web_address
from extend_pipeline.config.fields.numbers import Number
from extend_pipeline.config.fields.text import ConfigModel, YesNo, field_error, one_of, schema_as
from extend_pipeline.config.files.located import Node
from extend_pipeline.config.files.translate import Scope
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigIssue
from extend_pipeline.config.model.account_defaults import with_defaults
from extend_pipeline.config.model.credentials import EnvName
from extend_pipeline.config.model.network import PROXY_DESCRIPTION, CertificateAuthority, Proxy, ProxyLogin

ALERTS_FIELD: Final = "alerts"

MAX_ARGUMENTS: Final = 100

# Messages may repeat the values of these fields. An address or an argument may hold a token.
_SHOWABLE: Final = frozenset({"again_after_hours", "allow_local", "ca", "failed_runs", "network", "warnings"})

_URL: Final = schema_as({"type": "string", "format": "uri"})


def _arguments(value: object) -> tuple[str, ...]:
    hint = "Write a list, such as [/usr/local/bin/page, --team, video]; no shell reads it."
    if isinstance(value, str):
        raise field_error("is one text and not a list of arguments", hint)
    if not isinstance(value, list | tuple) or not value or not all(isinstance(part, str) for part in value):
        raise field_error("is not a list of arguments", hint)
    if len(value) > MAX_ARGUMENTS or not value[0].strip() or any("\0" in part for part in value):
        raise field_error("can't be run", hint)
    return tuple(value)


class Alerts(ConfigModel):
    """Where alerts go and what they are about. Secrets are named by their environment variables. Fields have the names
    that are written, so that the model can be written back."""

    # above the fields that depend on them, because a validator sees only the fields above its own
    allow_local: YesNo = Field(
        default=False, description="true allows a receiver on this machine, over http, for trials and relays."
    )
    network: Annotated[Literal["public", "private"], one_of("public", "private")] = Field(
        default="public",
        description="private: the webhook's host may lie in a private network, over http if its address says so.",
        examples=["private"],
    )
    webhook: Annotated[str, _URL] | None = Field(
        default=None,
        description="Address that alerts are sent to by POST, as JSON. One that holds a token is better named by "
        "webhook_env.",
        examples=["https://alerts.example.com/extend-pipeline"],
    )
    webhook_env: EnvName | None = Field(
        default=None,
        description="Environment variable that holds the webhook's address, where the address is a secret itself.",
        examples=["ALERT_WEBHOOK_URL"],
    )
    secret_env: EnvName | None = Field(
        default=None,
        description="Environment variable that holds the secret (whsec_…) that alerts to the webhook are signed with; "
        "two during a rotation, separated by a space. Without it they are not signed.",
        examples=["ALERT_WEBHOOK_SECRET"],
    )
    command: (
        Annotated[
            tuple[str, ...],
            BeforeValidator(_arguments),
            schema_as(
                {"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1, "maxItems": MAX_ARGUMENTS}
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Program with its arguments that is run for each alert, which it reads as JSON from its standard "
        "input. No shell reads it. Of the environment it gets PATH, HOME and their like, proxies, and variables whose "
        "names begin with ALERT_COMMAND_.",
        examples=["[/usr/local/bin/page, --team, video]"],
    )
    warnings: YesNo = Field(
        default=True, description="false reports only what is urgent, and failed runs.", examples=[False]
    )
    failed_runs: YesNo = Field(
        default=True, description="Whether failed runs of this home in Dagster are reported.", examples=[False]
    )
    again_after_hours: Annotated[Decimal, Number(ge=0.1, le=8760)] = Field(
        default=Decimal(24), description="Hours after which what still waits is reported again.", examples=[24]
    )
    dagster_url: Annotated[str, _URL] | None = Field(
        default=None,
        description="Address of Dagster's web page, for links to failed runs.",
        examples=["https://dagster.example.com"],
    )
    ca: CertificateAuthority = None
    proxy: Proxy | None = Field(default=None, description=PROXY_DESCRIPTION, examples=["environment"])
    proxy_login_env: ProxyLogin = None

    @field_validator("webhook", mode="before")
    @classmethod
    def _check_webhook(cls, value: object, info: ValidationInfo) -> str:
        # where allow_local or network is invalid, only that is reported
        private = info.data.get("network", "private") == "private"
        return receiver_url(value, allow_local=bool(info.data.get("allow_local", True)), private=private)

    @field_validator("dagster_url", mode="before")
    @classmethod
    def _check_dagster_url(cls, value: object) -> str:
        return web_address(value, "Write it like https://dagster.example.com.").rstrip("/")

    @model_validator(mode="after")
    def _check_receivers(self) -> Self:
        if self.webhook is not None and self.webhook_env is not None:
            raise field_error("is a second address", "Keep webhook or webhook_env.", at="webhook_env")
        if self.webhook is None and self.webhook_env is None:
            if self.secret_env is not None:
                raise field_error("signs nothing without a webhook", "Write webhook: https://….", at="secret_env")
            if self.command is None:
                raise field_error("names no receiver", "Write webhook: https://…, or command: [PROGRAM, ARGUMENT].")
        return self

    @property
    def as_written(self) -> dict[str, object]:
        """Return the section as accounts.yaml has it."""
        return self.model_dump(mode="json", exclude_defaults=True)


def read_alerts(node: Node | None, defaults: Mapping[str, tuple[int, Node]]) -> tuple[Alerts | None, list[ConfigIssue]]:
    """Return the section `alerts:` completed with the `defaults:` of the file, or None if it is missing or invalid, and
    its issues."""
    if node is None or node.value is None:
        return None, []
    scope = Scope(ACCOUNTS_FILE, with_defaults(node, dict(defaults)), None, lambda field, _value: field in _SHOWABLE)
    alerts, issues = scope.read(Alerts)
    return alerts, [replace(i, field=f"{ALERTS_FIELD}.{i.field}" if i.field else ALERTS_FIELD) for i in issues]
