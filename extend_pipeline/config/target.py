"""How long a video shall become and by what prompts: what `extend` has with every provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from extend_pipeline.config.fields import Written, known_as, prompt_text, wrong
from extend_pipeline.config.numbers import seconds_as_ms, whole

MOST_STEPS = 45  # 180 s at 4 s a step, which is as far as Kling goes
MOST_HOPS = 1000  # where no limit is documented: more is a typing mistake
_HOW_LONG = "Write to: 30 (seconds) or steps: 3."


def prompt_list(value: object) -> object:
    """A list of one prompt and more, as a tuple; its items are looked at elsewhere."""
    if not isinstance(value, list | tuple):
        raise wrong("is not a list of prompts", 'Write ["first", "second"], or prompt: for the same one in every hop.')
    if not value:
        raise wrong("the list is empty", "Write a prompt or leave the field out.")
    return tuple(value)


class Target(Written, ABC):
    """What to make of a video. Exactly one of `to_ms` and `steps`; at most one of `prompt` and `prompts`."""

    to_ms: Annotated[
        int | None,
        seconds_as_ms(most="180"),
        known_as({"type": "number", "exclusiveMinimum": 0, "maximum": 180}),
    ] = Field(default=None, validation_alias="to", description="How long it shall become, in seconds.", examples=[30])
    # validated even where it is missing, since that is when `to` must be there
    steps: Annotated[int | None, known_as({"type": "integer", "minimum": 1, "maximum": MOST_STEPS})] = Field(
        default=None,
        validate_default=True,
        description="How many extensions to make, instead of a length.",
        examples=[3],
    )
    prompt: Annotated[
        str | None, prompt_text(most=2500), known_as({"type": "string", "minLength": 1, "maxLength": 2500})
    ] = Field(
        default=None, description="Prompt for every extension, at most 2500 characters.", examples=["the fog lifts"]
    )
    prompts: Annotated[
        tuple[Annotated[str, prompt_text(most=2500)], ...] | None,
        BeforeValidator(prompt_list),
        known_as(
            {
                "type": "array",
                "minItems": 1,
                "items": {"type": "string", "minLength": 1, "maxLength": 2500},
            }
        ),
    ] = Field(
        default=None,
        description="Prompts extension by extension; the last one repeats.",
        examples=['["add cat", "the cat jumps"]'],
    )

    most_steps: ClassVar[int] = MOST_STEPS
    written_schema: ClassVar[Mapping[str, Any]] = {
        "oneOf": [{"required": ["to"]}, {"required": ["steps"]}],
        "not": {"required": ["prompt", "prompts"]},
    }

    @property
    def added_ms(self) -> int | None:
        """How much one extension adds, where the user chooses it; None where the provider does."""
        return None

    @field_validator("steps", mode="before")
    @classmethod
    def _check_steps(cls, value: object, info: ValidationInfo) -> object:
        # a `to` that could not be read is absent from info.data: it was written all the same
        to_written = info.data.get("to_ms", 0) is not None
        if value is None:
            if not to_written:
                raise wrong("neither to nor steps is given", _HOW_LONG)
            return None
        if to_written:
            raise wrong("stands beside to, and only one of them can hold", f"Keep one. {_HOW_LONG}")
        return whole(least=1, most=cls.most_steps).func(value)  # type: ignore[call-arg]

    @field_validator("prompts", mode="after")
    @classmethod
    def _check_prompts(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("prompt", "") is not None:
            raise wrong("prompt and prompts are both given", "Keep one: prompt for all hops, prompts one by one.")
        return value

    def prompt_of(self, hop: int) -> str | None:
        """The prompt of a hop, counted from 1; the last one repeats. None where no prompt was given."""
        if hop < 1:
            raise ValueError(f"hops count from 1, not {hop}")
        if self.prompts is not None:
            return self.prompts[min(hop, len(self.prompts)) - 1]
        return self.prompt

    @abstractmethod
    def hop_params(self, hop: int) -> dict[str, object]:
        """What this hop's submit carries: only what was given, JSON-able, the same on every call."""
