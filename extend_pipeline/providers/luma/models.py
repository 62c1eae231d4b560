"""The catalogue and account fields of Luma through a reseller, with their limits (docs/upstream/luma.md)."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from extend_pipeline.config.checks.reachable import local_addresses
from extend_pipeline.config.fields.ids import ExactId
from extend_pipeline.config.fields.images import ImageAddress
from extend_pipeline.config.fields.numbers import Seconds, WholeNumber
from extend_pipeline.config.fields.text import RequiredBecause, YesNo, field_error, one_of, schema_as
from extend_pipeline.config.issues import FieldIssue
from extend_pipeline.config.model.account import Account, Output, Poll, SubmitClass, poll_field, provider_field
from extend_pipeline.config.model.credentials import ApiKey, api_key_field
from extend_pipeline.config.model.network import PathPrefix
from extend_pipeline.config.model.price import RESELLER_PRICES, Price, reseller_price_field
from extend_pipeline.config.model.source import SourceById, UndatedSource
from extend_pipeline.config.model.target import MAX_HOPS, MAX_S, PROMPT, Target, prompt_list, prompt_list_schema

PREFIX: Final = "/luma"
POLL: Final = Poll(first_after_s=30, every_s=10)


class LumaSource(SourceById, UndatedSource):
    """A generation of the same account. Duration in milliseconds, None if it is not written."""

    task_id: ExactId = Field(
        description="Id of the generation, exactly; quotes are not needed.",
        examples=["4665a07c-7641-4809-a133-10786201bb56"],
    )
    duration_ms: Annotated[int | None, Seconds(gt=0, le=MAX_S)] = Field(
        default=None,
        validation_alias="duration",
        description="Its length in seconds; measured where it is left out and needed.",
        examples=[5],
    )

    @property
    def source_id(self) -> str:
        """Return the id of the generation."""
        return self.task_id


class LumaExtend(Target):
    """The options of an extension by Luma; each hop needs a prompt. A field that is None is not sent."""

    written_schema: ClassVar[Mapping[str, Any]] = {
        **Target.written_schema,
        "anyOf": [{"required": ["prompt"]}, {"required": ["prompts"]}],
    }

    to_ms: Annotated[int | None, Seconds(gt=0, le=MAX_S)] = Field(
        default=None, validation_alias="to", description="How long it shall become, in seconds.", examples=[30]
    )
    steps: Annotated[int | None, WholeNumber(ge=1, le=MAX_HOPS)] = Field(
        default=None,
        validate_default=True,
        description="How many extensions to make, instead of a length.",
        examples=[3],
    )
    # validated even if it is missing, because then `prompt` is required
    prompts: Annotated[tuple[Annotated[str, PROMPT], ...] | None, prompt_list_schema(PROMPT)] = Field(
        default=None,
        validate_default=True,
        description="Prompts extension by extension; the last one repeats.",
        examples=['["add cat", "the cat jumps"]'],
    )
    expand_prompt: YesNo | None = Field(
        default=None, description="Whether Luma may embellish the prompt.", examples=[True]
    )
    image_url: ImageAddress | None = Field(
        default=None, description="Reference image: an address or a data URI.", examples=["https://…"]
    )
    image_end_url: ImageAddress | None = Field(
        default=None, description="Image to end with: an address or a data URI.", examples=["https://…"]
    )

    @field_validator("prompts", mode="before")
    @classmethod
    def _need_a_prompt(cls, value: object, info: ValidationInfo) -> object:
        if value is not None:
            return prompt_list(value)
        # a prompt that is written but invalid is not in info.data
        if info.data.get("prompt", "") is None:
            raise field_error("is missing: Luma extends nothing without a prompt", "Write prompt: add cat", at="prompt")
        return None

    def hop_params(self, hop: int) -> dict[str, object]:
        """Return `prompt`, `expand_prompt` (bool), `image_url`, `image_end_url` of a hop (from 1), if set."""
        params: dict[str, object | None] = {
            "prompt": self.prompt_of(hop),
            "expand_prompt": self.expand_prompt,
            "image_url": self.image_url,
            "image_end_url": self.image_end_url,
        }
        return {name: value for name, value in params.items() if value is not None}


class LumaAccount(Account):
    """An account at a reseller of Luma."""

    provider: Annotated[Literal["luma"], schema_as({"const": "luma"})] = provider_field("luma")
    credentials: ApiKey = api_key_field("LUMA_API_KEY")
    price: Annotated[Price, RequiredBecause(RESELLER_PRICES)] = reseller_price_field("4, unit_price: 0.1")
    submit_class: Annotated[SubmitClass, one_of("C", "D")] = Field(
        default="C",
        description="What a submit can promise. C: a callback may name its task; D: it can't be looked up.",
        examples=["C"],
    )
    path_prefix: PathPrefix = Field(
        default=PREFIX,
        description="What stands before /generations at this reseller; /luma by default.",
        examples=["/luma"],
    )
    poll: Poll = poll_field(POLL)
    batch_query: YesNo = Field(
        default=False,
        description="true if the reseller can query many tasks in one request (POST /luma/tasks).",
        examples=[False],
    )
    output: Output = "unknown"


def check(*, extend: LumaExtend | None, account: Account | None, **_: object) -> Iterator[FieldIssue]:
    """Yield the addresses that Luma can't fetch from."""
    if extend is not None:
        yield from local_addresses(
            account,
            (("extend", "image_url"), extend.image_url),
            (("extend", "image_end_url"), extend.image_end_url),
        )
