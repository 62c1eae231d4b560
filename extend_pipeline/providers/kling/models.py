"""Kling's part of the catalogue and of the accounts: its fields, limits and prices (docs/upstream/kling.md)."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Discriminator, Field, Tag

from extend_pipeline.base.net import is_local
from extend_pipeline.config.fields.addresses import source_url
from extend_pipeline.config.fields.ids import ExactId
from extend_pipeline.config.fields.moments import Moment
from extend_pipeline.config.fields.numbers import Number, Seconds
from extend_pipeline.config.fields.text import YesNo, field_error, one_of, schema_as
from extend_pipeline.config.issues import FieldIssue
from extend_pipeline.config.model.account import ACD, Account, Poll, SubmitClass, poll_field, provider_field
from extend_pipeline.config.model.credentials import ApiKey, KeyPair, either_form, one_form
from extend_pipeline.config.model.price import Price
from extend_pipeline.config.model.source import SourceById
from extend_pipeline.config.model.target import PROMPT, Target

KlingModel = Literal["kling-v1-0", "kling-v1-5", "kling-v1-6"]
MODES = ("std", "pro")

# 2 units standard, 3.5 professional, 0.14 USD a unit: Kling's list price
PRICE = Price(
    unit="kling-unit",
    per_extension_micros={"std": 2_000_000, "pro": 3_500_000},
    unit_price_micros=140_000,
    currency="USD",
)
POLL = Poll(first_after_s=60, every_s=15)

_MODEL = re.compile(r"(?:kling[-_ ]?)?v?1(?:[-._]([056]))?\Z", re.ASCII)


def _model(value: object) -> str:
    hint = "Kling extends only kling-v1-0, kling-v1-5 and kling-v1-6."
    if not isinstance(value, str):
        raise field_error("is not a single value", hint)
    match = _MODEL.match(value.strip().lower())
    if match is None:
        raise field_error("is a model whose videos can't be extended", hint)
    return f"kling-v1-{match[1] or '0'}"


class KlingSource(SourceById):
    """A video that Kling made. Duration in milliseconds, `created_at` in UTC."""

    video_id: ExactId = Field(
        description="Kling's id of the video, exactly; quotes are not needed.", examples=["827942411241803822"]
    )
    model: Annotated[
        KlingModel,
        BeforeValidator(_model),
        schema_as({"type": ["string", "number"], "examples": ["kling-v1-0", "kling-v1-5", "kling-v1-6"]}),
    ] = Field(description="Model that made it: kling-v1-0, kling-v1-5 or kling-v1-6.", examples=["kling-v1-6"])
    mode: Annotated[Literal["std", "pro"], one_of(*MODES, also={"standard": "std", "professional": "pro"})] = Field(
        description="Mode that it was made in; the price depends on it.", examples=["std"]
    )
    duration_ms: Annotated[int, Seconds(gt=0, le=180)] = Field(
        validation_alias="duration", description="Its length in seconds.", examples=[5.1]
    )
    created_at: Moment | None = Field(
        default=None,
        description="When it was made, with a zone (or Kling's milliseconds); a day alone is 00:00 UTC of it. Kling "
        "deletes videos after 30 days.",
        examples=["2026-11-01T08:00:00Z"],
    )
    url: Annotated[str | None, BeforeValidator(source_url), schema_as({"type": "string", "format": "uri"})] = Field(
        default=None, description="Where its file can be fetched, while it can.", examples=["https://…"]
    )

    @property
    def source_id(self) -> str:
        """Return Kling's id of the video."""
        return self.video_id


class KlingExtend(Target):
    """The options of an extension by Kling. A field that is None is not sent."""

    negative_prompt: Annotated[str | None, PROMPT] = Field(
        default=None,
        description="What must not appear, at most 2500 characters. Not with V1.0 sources.",
        examples=["text"],
    )
    cfg_scale: Annotated[Decimal | None, Number(ge=0, le=1)] = Field(
        default=None,
        description="How strictly the prompt is followed, 0 to 1. Not with V1.0 sources.",
        examples=[0.5],
    )
    watermark: YesNo | None = Field(
        default=None, description="Whether to make a watermarked copy as well.", examples=[False]
    )

    def hop_params(self, hop: int) -> dict[str, object]:
        """Return `prompt`, `negative_prompt`, `cfg_scale` (float), `watermark` (bool) of a hop (from 1), if set."""
        params: dict[str, object | None] = {
            "prompt": self.prompt_of(hop),
            "negative_prompt": self.negative_prompt,
            "cfg_scale": None if self.cfg_scale is None else float(self.cfg_scale),
            "watermark": self.watermark,
        }
        return {name: value for name, value in params.items() if value is not None}


class KlingKeys(KeyPair):
    """Kling's access key and secret key."""


class KlingAccount(Account):
    """An account at Kling itself, with Kling's defaults."""

    provider: Annotated[Literal["kling"], schema_as({"const": "kling"})] = provider_field("kling")
    credentials: Annotated[
        Annotated[KlingKeys, Tag("form:keys")] | Annotated[ApiKey, Tag("form:api_key")],
        Discriminator(either_form),
        BeforeValidator(one_form),
    ] = Field(
        description="Environment variables that hold the keys; the secrets themselves stand nowhere.",
        examples=["{access_key_env: KLING_ACCESS_KEY, secret_key_env: KLING_SECRET_KEY}"],
    )
    price: Price = Field(
        default=PRICE,
        description="What one extension costs; written whole. Kling's list price by default.",
        examples=["{unit: kling-unit, per_extension: {std: 2, pro: 3.5}, unit_price: 0.14, currency: USD}"],
    )
    submit_class: Annotated[SubmitClass, ACD] = Field(
        default="A",
        description="What a submit can promise. A: each carries an id of ours, by which it can be looked up.",
        examples=["A"],
    )
    poll: Poll = poll_field(POLL)


def check(
    *, source: KlingSource | None, root: KlingSource | None, extend: KlingExtend | None, account: Account | None
) -> Iterator[FieldIssue]:
    """Yield the combinations that Kling refuses although each field is valid.

    `source` is the entry's own, None for a branch; `root` is the source at the root of a branch, else the same. A part
    that could not be read is None.
    """
    if root is not None and extend is not None and root.model == "kling-v1-0":
        for name in ("negative_prompt", "cfg_scale"):
            if getattr(extend, name) is not None:
                yield FieldIssue(("extend", name), "is refused for sources of V1.0", "Leave it out.")
    if source is not None and source.url is not None and account is not None and not account.allow_local:
        parts = urlsplit(source.url)
        if parts.scheme != "https" or is_local(parts.hostname or ""):
            yield FieldIssue(
                ("source", "url"), "is not https to a public host", "Give a public https address, or leave it out."
            )
