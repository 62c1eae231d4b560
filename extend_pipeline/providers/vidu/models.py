"""The catalogue and account fields of Vidu through ModelVerse, with their limits (docs/upstream/vidu.md)."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from extend_pipeline.config.checks.reachable import local_addresses
from extend_pipeline.config.fields.addresses import public_prefix, source_url
from extend_pipeline.config.fields.images import FrameField
from extend_pipeline.config.fields.numbers import Seconds, WholeNumber
from extend_pipeline.config.fields.text import field_error, one_of, prompt_text, schema_as
from extend_pipeline.config.issues import FieldIssue
from extend_pipeline.config.model.account import Account, Output, Poll, SubmitClass, poll_field, provider_field
from extend_pipeline.config.model.callbacks import Callbacks
from extend_pipeline.config.model.credentials import ApiKey, api_key_field
from extend_pipeline.config.model.price import Price
from extend_pipeline.config.model.source import UndatedSource
from extend_pipeline.config.model.target import Target, prompt_list, prompt_list_schema
from extend_pipeline.providers.vidu.prices import MAX_SECONDS, MIN_SECONDS, MODELS, PRICE, RESOLUTIONS

_MIN_SOURCE_S, _MAX_SOURCE_S = 4, 60  # docs/upstream/vidu.md, "Source"
_MAX_S: Final = _MAX_SOURCE_S + MAX_SECONDS
SOURCE_RANGE_MS: Final = (_MIN_SOURCE_S * 1000, _MAX_SOURCE_S * 1000)
MAX_MS: Final = _MAX_S * 1000
_MAX_STEPS: Final = _MAX_S - _MIN_SOURCE_S  # from the shortest source, a second at a time
POLL: Final = Poll(first_after_s=10, every_s=5)

_PROMPT: Final = prompt_text(max_length=2000)


class ViduSource(UndatedSource):
    """Any video that Vidu can fetch. Duration in milliseconds, None if it is not written."""

    video_url: Annotated[str, BeforeValidator(source_url), schema_as({"type": "string", "format": "uri"})] = Field(
        description="Where the provider can fetch it, on the internet, while its first extension runs.",
        examples=["https://media.example.com/robot-walk.mp4"],
    )
    duration_ms: Annotated[int | None, Seconds(ge=_MIN_SOURCE_S, le=_MAX_SOURCE_S)] = Field(
        default=None,
        validation_alias="duration",
        description="Its length in seconds, 4 to 60; measured where it is left out.",
        examples=[5],
    )

    @property
    def source_id(self) -> str:
        """Return the URL of the video."""
        return self.video_url


class ViduExtend(Target):
    """The options of an extension by Vidu. A hop adds `seconds`."""

    to_ms: Annotated[int | None, Seconds(gt=0, le=_MAX_S)] = Field(
        default=None,
        validation_alias="to",
        description="How long it shall become, in seconds; at most 67, since sources end at 60.",
        examples=[20],
    )
    steps: Annotated[int | None, WholeNumber(ge=1, le=_MAX_STEPS)] = Field(
        default=None,
        validate_default=True,
        description="How many extensions to make, instead of a length.",
        examples=[3],
    )
    prompt: Annotated[str | None, _PROMPT] = Field(
        default=None, description="Prompt for every extension, at most 2000 characters.", examples=["smooth camera"]
    )
    prompts: Annotated[
        tuple[Annotated[str, _PROMPT], ...] | None, BeforeValidator(prompt_list), prompt_list_schema(_PROMPT)
    ] = Field(
        default=None,
        description="Prompts extension by extension; the last one repeats.",
        examples=['["he waves", "he is gone"]'],
    )
    model: Annotated[Literal["viduq2-turbo", "viduq2-pro"], one_of(*MODELS)] = Field(
        description="Model that extends it; the price depends on it.", examples=["viduq2-turbo"]
    )
    seconds: Annotated[int, WholeNumber(ge=MIN_SECONDS, le=MAX_SECONDS)] = Field(
        default=5, description="How much each extension adds; the price depends on it.", examples=[5]
    )
    resolution: Annotated[Literal["540p", "720p", "1080p"], one_of(*RESOLUTIONS)] = Field(
        default="720p", description="Resolution of the result; the price depends on it.", examples=["720p"]
    )
    last_frame: FrameField | None = Field(
        default=None,
        validation_alias="last_frame_url",
        description="Last image: an address, a data URI, or the path of a png, jpeg or webp beside this file.",
        examples=["frames/door.png"],
    )

    def hop_params(self, hop: int) -> dict[str, object]:
        """Return `model`, `seconds`, `resolution` of a hop (from 1), and if set `prompt`, `last_frame_url` (an address,
        a data URI, or `file:` with an absolute path) and `last_frame_sha256` (of a file)."""
        frame = self.last_frame
        params: dict[str, object | None] = {
            "prompt": self.prompt_of(hop),
            "model": self.model,
            "seconds": self.seconds,
            "resolution": self.resolution,
            "last_frame_url": None if frame is None else frame.url,
            "last_frame_sha256": None if frame is None else frame.sha256,
        }
        return {name: value for name, value in params.items() if value is not None}


class ViduAccount(Account):
    """An account at ModelVerse, with its defaults."""

    provider: Annotated[Literal["vidu"], schema_as({"const": "vidu"})] = provider_field("vidu")
    credentials: ApiKey = api_key_field("MODELVERSE_API_KEY")
    price: Price = Field(
        default=PRICE,
        description="What one extension costs; written whole. The list price by model, resolution and seconds by "
        "default.",
        examples=["{unit: CNY, per_extension: {viduq2-turbo/720p: 1.1}, unit_price: 1, currency: CNY}"],
    )
    submit_class: Annotated[SubmitClass, one_of("D")] = Field(
        default="D",
        description="What a submit can promise. D: a submit can't be looked up, and there are no callbacks.",
        examples=["D"],
    )
    poll: Poll = poll_field(POLL)
    auth: Annotated[Literal["raw", "bearer"], one_of("raw", "bearer")] = Field(
        default="raw", description="How the key is sent: as it is, or after the word Bearer.", examples=["raw"]
    )
    public_media_url: Annotated[str | None, schema_as({"type": "string", "format": "uri"})] = Field(
        default=None,
        description="Where the media store is served on the internet; a hop starts there once the last result's own "
        "address has ended.",
        examples=["https://media.example.com/store"],
    )
    output: Output = "unknown"

    @field_validator("callbacks", mode="after")
    @classmethod
    def _no_callbacks(cls, value: Callbacks | None) -> Callbacks | None:
        if value is not None:
            raise field_error("ModelVerse sends no callbacks", "Leave callbacks out: its tasks are polled.")
        return None

    @field_validator("public_media_url", mode="before")
    @classmethod
    def _check_public_media_url(cls, value: object, info: ValidationInfo) -> str | None:
        # if allow_local itself is invalid, only that is reported
        return public_prefix(value, allow_local=bool(info.data.get("allow_local", True)))


def check(
    *, source: ViduSource | None, extend: ViduExtend | None, account: Account | None, **_: object
) -> Iterator[FieldIssue]:
    """Yield the addresses that Vidu can't fetch from."""
    frame = None if extend is None or extend.last_frame is None else extend.last_frame.url
    video = None if source is None else source.video_url
    yield from local_addresses(account, (("source", "video_url"), video), (("extend", "last_frame_url"), frame))
