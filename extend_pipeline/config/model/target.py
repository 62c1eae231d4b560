"""The target of a video, `extend`: its length, its prompts, and limits. What is the same for all providers."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from extend_pipeline.config.fields.numbers import Seconds, WholeNumber
from extend_pipeline.config.fields.text import ConfigModel, Parser, field_error, prompt_text, schema_as

MAX_STEPS = 45  # 180 s at 4 s a step (docs/upstream/kling.md, "Length")
MAX_HOPS = 1000  # a limit for providers that document none: more is a typing mistake
TOLERANCE_MS: Final = 500  # another paid hop for less than half a second is hardly ever meant
MAX_S: Final = 3600.0  # more is a typing mistake, such as milliseconds for seconds
LIMITS: Final = frozenset({"tolerance_ms", "at_most_ms"})
"""The fields that end a video. They are no parameters of a hop, so that a change of them buys nothing."""
_HOW_LONG = "Write to: 30 (seconds) or steps: 3."


def prompt_list(value: object) -> object:
    """Return a list of one or more prompts as a tuple. The items are checked elsewhere."""
    if not isinstance(value, list | tuple):
        raise field_error(
            "is not a list of prompts", 'Write ["first", "second"], or prompt: for the same one in every hop.'
        )
    if not value:
        raise field_error("the list is empty", "Write a prompt or leave the field out.")
    return tuple(value)


def prompt_list_schema(prompt: Parser) -> WithJsonSchema:
    """Return the JSON schema of a list of prompts."""
    return schema_as({"type": "array", "minItems": 1, "items": prompt.schema})


PROMPT: Final = prompt_text(max_length=2500)
_Tolerance = Annotated[int, Seconds(ge=0, le=60)]
_AtMost = Annotated[int, Seconds(gt=0, le=MAX_S)]


class ExtendDefaults(ConfigModel):
    """Defaults of `extend` for an account's videos, in ms."""

    tolerance_ms: _Tolerance = Field(
        default=TOLERANCE_MS,
        validation_alias="tolerance",
        description="Seconds that a video may be shorter than its `to` and count as finished, so that no extension is "
        "bought for a sliver.",
        examples=[0.5],
    )
    at_most_ms: _AtMost | None = Field(
        default=None,
        validation_alias="at_most",
        description="Seconds that no video may become longer than: an extension that could pass them is not bought.",
        examples=[60],
    )


class Target(ConfigModel, ABC):
    """What to make of a video: exactly one of `to_ms` and `steps`, at most one of `prompt` and `prompts`."""

    to_ms: Annotated[int | None, Seconds(gt=0, le=180)] = Field(
        default=None, validation_alias="to", description="How long it shall become, in seconds.", examples=[30]
    )
    # validated even if it is missing, because `to` is required then
    steps: Annotated[int | None, WholeNumber(ge=1, le=MAX_STEPS)] = Field(
        default=None,
        validate_default=True,
        description="How many extensions to make, instead of a length.",
        examples=[3],
    )
    prompt: Annotated[str | None, PROMPT] = Field(
        default=None, description="Prompt for every extension, at most 2500 characters.", examples=["the fog lifts"]
    )
    prompts: Annotated[
        tuple[Annotated[str, PROMPT], ...] | None, BeforeValidator(prompt_list), prompt_list_schema(PROMPT)
    ] = Field(
        default=None,
        description="Prompts extension by extension; the last one repeats.",
        examples=['["add cat", "the cat jumps"]'],
    )

    tolerance_ms: _Tolerance | None = Field(
        default=None,
        validation_alias="tolerance",
        description="Seconds that it may be shorter than `to` and count as finished. The account's by default, else "
        "0.5.",
        examples=[0.5],
    )
    at_most_ms: _AtMost | None = Field(
        default=None,
        validation_alias="at_most",
        description="Seconds that it may not become longer than: an extension that could pass them is not bought. The "
        "account's by default.",
        examples=[32],
    )

    written_schema: ClassVar[Mapping[str, Any]] = {
        "oneOf": [{"required": ["to"]}, {"required": ["steps"]}],
        "not": {"required": ["prompt", "prompts"]},
        "dependentRequired": {"tolerance": ["to"]},
    }

    @field_validator("steps", mode="before")
    @classmethod
    def _check_steps(cls, value: object, info: ValidationInfo) -> object:
        # an invalid `to` is absent from info.data, but it was written
        to_written = info.data.get("to_ms", 0) is not None
        if value is None:
            if not to_written:
                raise field_error("neither to nor steps is given", _HOW_LONG)
            return None
        if to_written:
            raise field_error("stands beside to, and only one of them can hold", f"Keep one. {_HOW_LONG}")
        return value

    @field_validator("prompts", mode="after")
    @classmethod
    def _check_prompts(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("prompt", "") is not None:
            raise field_error("prompt and prompts are both given", "Keep one: prompt for all hops, prompts one by one.")
        return value

    @field_validator("tolerance_ms", mode="after")
    @classmethod
    def _check_tolerance(cls, value: int | None, info: ValidationInfo) -> int | None:
        to_ms = info.data.get("to_ms")
        if value is None:
            return None
        if info.data.get("steps") is not None:
            raise field_error("means nothing beside steps", "Leave it out, or write to: and a length.")
        if to_ms is not None and value >= to_ms:
            raise field_error("is not less than to, so that nothing would be made", "Write tolerance: 0.5")
        return value

    @field_validator("at_most_ms", mode="after")
    @classmethod
    def _check_at_most(cls, value: int | None, info: ValidationInfo) -> int | None:
        to_ms = info.data.get("to_ms")
        if value is not None and to_ms is not None and value < to_ms:
            raise field_error(
                f"is less than to, which is {to_ms / 1000:g}", f"Give {to_ms / 1000:g} or more, or a lower to."
            )
        return value

    def prompt_of(self, hop: int) -> str | None:
        """Return the prompt of a hop, counted from 1; the last one repeats. None if there is no prompt."""
        if hop < 1:
            raise ValueError(f"hops count from 1, not {hop}")
        if self.prompts is not None:
            return self.prompts[min(hop, len(self.prompts)) - 1]
        return self.prompt

    @abstractmethod
    def hop_params(self, hop: int) -> dict[str, object]:
        """Return the parameters of a hop's submit, JSON-able and equal on every call: what is written, and the
        documented value of what is left out unless `IMPLIED` (config/checks/purchase.py) has it."""
