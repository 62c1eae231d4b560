"""An account: address, credentials, budget, price, polling.

Each provider has a subclass (`providers/*/models.py`). It defines the fields that have no default here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from extend_pipeline.config.fields.addresses import base_url as parse_base_url
from extend_pipeline.config.fields.addresses import host_pattern
from extend_pipeline.config.fields.numbers import Number, Units, WholeNumber
from extend_pipeline.config.fields.text import (
    NO,
    YES,
    ConfigModel,
    EarlierName,
    Name,
    YesNo,
    field_error,
    one_of,
    schema_as,
)
from extend_pipeline.config.model.callbacks import Callbacks, checked
from extend_pipeline.config.model.catalogue import OnChangeField
from extend_pipeline.config.model.credentials import ApiKey, KeyPair
from extend_pipeline.config.model.network import (
    PROXY_DESCRIPTION,
    CertificateAuthority,
    Proxy,
    ProxyLogin,
)
from extend_pipeline.config.model.price import Budget, Price, budget_fields
from extend_pipeline.config.model.target import ExtendDefaults

SubmitClass = Literal["A", "B", "C", "D"]
ACD: Final = one_of("A", "C", "D", also={"b": "B"})
"""The submit classes of a provider that can look tasks up; B is read because earlier versions had it."""

Output = Annotated[
    Literal["unknown", "full", "segment"],
    one_of("unknown", "full", "segment"),
    Field(
        description="Whether results are the whole video or only the new part; unknown measures each.",
        examples=["unknown"],
    ),
]
"""A field of providers that do not document what a result holds."""

Adopt = Literal["own", "ask", "all", "none"]


def _allows_local(data: Mapping[str, Any]) -> bool:
    # where allow_local is invalid, only that is reported
    return bool(data.get("allow_local", True))


def _private(data: Mapping[str, Any]) -> bool:
    # where network is invalid, only that is reported
    return bool(data.get("network", "private") == "private")


def _host(value: object, info: ValidationInfo) -> str:
    return host_pattern(value, allow_local=_allows_local(info.data))


def _yes_is_all(value: object) -> object:
    """Return all and none for yes and no, the earlier values of `adopt_orphans`."""
    text = str(value).strip().lower()
    return "all" if text in YES else "none" if text in NO else value


def _not_empty(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if not hosts:
        hint = 'Write download_hosts: ["*.klingai.com"], or leave it out: any public https address then.'
        raise field_error("is an empty list, so no result could be fetched", hint)
    return hosts


# only for fields below allow_local
DownloadHosts = Annotated[
    tuple[Annotated[str, BeforeValidator(_host)], ...],
    AfterValidator(_not_empty),
]


class Poll(ConfigModel):
    """When a task is polled, in seconds."""

    first_after_s: Annotated[float, Number(ge=0, le=86400)] = Field(
        validation_alias="first_after", description="Seconds from submit to the first poll.", examples=[60]
    )
    every_s: Annotated[float, Number(ge=0.01, le=86400)] = Field(
        validation_alias="every", description="Seconds between polls.", examples=[15]
    )


def poll_field(default: Poll) -> Any:
    """Return the field `poll` of an account class, with its provider's default."""
    return Field(
        default=default,
        description="When to ask for a task's state, in seconds.",
        examples=[f"{{first_after: {default.first_after_s:g}, every: {default.every_s:g}}}"],
    )


def provider_field(name: str) -> Any:
    """Return the field `provider` of an account class: the name of its provider, which is the default in code."""
    return Field(default=name, description="The provider that the account belongs to.", examples=[name])


class InDoubt(ConfigModel):
    """When a submit without a response counts as never made: after how many seconds, and after how many look-ups that
    found no task."""

    settle_s: Annotated[float, Number(ge=0, le=604800)] = Field(
        default=600,
        validation_alias="settle",
        description="Seconds that must pass before look-ups that found no task prove that there is none.",
        examples=[600],
    )
    absences: Annotated[int, WholeNumber(ge=1, le=1000)] = Field(
        default=3, description="How many look-ups must have found no task.", examples=[3]
    )


class Account(ConfigModel):
    """One account, in micro-units and seconds. Secrets are named by their environment variables."""

    name: Name = Field(description="Name that videos give as their account.", examples=["kling-main"])
    was: EarlierName | None = Field(
        default=None,
        description="The name that this account had before: what was paid for under it goes on under the new one.",
        examples=["kling-old"],
    )
    provider: str
    # above the fields that depend on it, because a validator sees only the fields above its own
    allow_local: YesNo = Field(
        default=False,
        description="true allows http and local addresses, for the sandbox and tests; never for a real account.",
    )
    network: Annotated[Literal["public", "private"], one_of("public", "private")] = Field(
        default="public",
        description="private: base_url's host may lie in a private network, over http if base_url says so, and its "
        "files too; for a gateway of one's own (one-api, new-api). public, the default: public addresses over https "
        "alone.",
        examples=["private"],
    )
    base_url: Annotated[str, schema_as({"type": "string", "format": "uri"})] = Field(
        description="Address of the API.", examples=["https://api-singapore.klingai.com"]
    )
    credentials: KeyPair | ApiKey
    max_in_flight: Annotated[int, WholeNumber(ge=1, le=10_000)] = Field(
        default=20, description="Most tasks running at the provider at once.", examples=[20]
    )
    budget: Annotated[Budget | None, BeforeValidator(budget_fields)] = Field(
        default=None,
        description="What the account may spend, in units. No budget, no spending; 0 spends nothing either.",
        examples=["{per_day: 100, total: 2000}"],
        json_schema_extra=lambda schema: schema["anyOf"].append({"const": 0}),  # type: ignore[union-attr]
    )
    price: Price
    extend: ExtendDefaults = Field(
        default=ExtendDefaults(),
        description="What its videos take where their own `extend` doesn't say otherwise, in seconds.",
        examples=["{tolerance: 0.5, at_most: 60}"],
    )
    submit_class: SubmitClass
    download_hosts: Annotated[
        DownloadHosts | None, schema_as({"type": ["array", "null"], "items": {"type": "string"}, "minItems": 1})
    ] = Field(
        default=None,
        description="Narrows where results may be fetched from; *.example.com is all below it. Any public https "
        "address by default.",
        examples=['["*.klingai.com"]'],
    )
    download_http: YesNo = Field(
        default=False,
        description="true fetches results from addresses without TLS (http) too: anyone on the way can read and change "
        "them. No key goes along.",
        examples=[False],
    )
    ca: CertificateAuthority = None
    proxy: Proxy | None = Field(default=None, description=PROXY_DESCRIPTION, examples=["http://proxy.example.com:3128"])
    proxy_login_env: ProxyLogin = None
    poll: Poll
    in_doubt: InDoubt = Field(
        default=InDoubt(),
        description="When an unanswered submit counts as never made.",
        examples=["{settle: 600, absences: 3}"],
    )
    failed_tasks_charged: Annotated[Literal["yes", "no", "unknown"], one_of("yes", "no", "unknown")] = Field(
        default="unknown", description="Whether the provider charges failed tasks.", examples=["unknown"]
    )
    patience_s: Annotated[float, Number(gt=0, le=604800)] = Field(
        default=3600,
        validation_alias="patience",
        description="Seconds a task may run before status calls it overdue.",
        examples=[3600],
    )

    tolerance_micros: Annotated[int, Units(ge=0)] = Field(
        default=0,
        validation_alias="tolerance",
        description="Units by which a charge may exceed the price before the account is stopped until a person has "
        "looked. Less than the price stops nothing: it is booked as charged and reported once.",
        examples=[0],
    )
    adopt_orphans: Annotated[
        Adopt,
        one_of("own", "ask", "all", also={"none": "none"}),
        BeforeValidator(_yes_is_all),  # validators run from the last to the first
        schema_as({"enum": ["own", "ask", "all", True, False]}),
    ] = Field(
        default="own",
        description="Which tasks that the account shows and the ledger doesn't know reconciliation adopts. own: those "
        "that carry one of our own keys; what extends a film of ours without one is a question, the rest is counted. "
        "ask: every one is a question. all (or true): every one, for an account that only this home uses. false: none; "
        "what may be ours is a question.",
        examples=["own"],
    )
    on_change: OnChangeField = None
    callbacks: Callbacks | None = Field(
        default=None,
        description="Where the provider may call back; nothing by default, and then tasks are polled.",
        examples=["{url: https://hooks.example.com/extend-pipeline}"],
    )

    @field_validator("callbacks", mode="after")
    @classmethod
    def _check_callbacks(cls, value: Callbacks | None, info: ValidationInfo) -> Callbacks | None:
        return checked(value, allow_local=_allows_local(info.data) or _private(info.data))

    @field_validator("base_url", mode="before")
    @classmethod
    def _check_base_url(cls, value: object, info: ValidationInfo) -> str:
        return parse_base_url(value, allow_local=_allows_local(info.data), private=_private(info.data))
