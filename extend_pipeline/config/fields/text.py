"""Fields that are text: their parsers, errors and JSON schemas; and the base class of what users write."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from annotated_types import GroupedMetadata
from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from extend_pipeline.base.names import MAX_NAME_LENGTH, PATTERN, name_fault, normal_name, was_a_name

FIELD_ERROR: Final = "extend_pipeline"  # the type of our own errors, with message and hint in their context

# control characters but tab and line ends, and halves of surrogate pairs, which no UTF-8 body can carry
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
YES: Final = frozenset({"true", "yes", "on"})
NO: Final = frozenset({"false", "no", "off"})


def field_error(message: str, hint: str, *, at: str | None = None) -> PydanticCustomError:
    """Return the error of a field. `message` continues a sentence that begins with the value; `hint` is what to write.
    `at` is the written name of another field of the same model, if the error belongs to that."""
    context = {"message": message, "hint": hint} | ({} if at is None else {"at": at})
    return PydanticCustomError(FIELD_ERROR, "{message}. {hint}", context)


@dataclass(frozen=True, slots=True)
class RequiredBecause:
    """Annotate a field with the reason why it has no default here, although other providers have one."""

    reason: str


class ConfigModel(BaseModel):
    """The base class of what users write. It is frozen and refuses unknown fields; null is the same as not written.

    Files use the aliases (`to`, `duration`), code uses the field names (`to_ms`, `duration_ms`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_null(cls, data: object) -> object:
        if not isinstance(data, dict) or None not in data.values():
            return data
        known = aliases(cls).keys() | cls.model_fields.keys()
        return {key: value for key, value in data.items() if value is not None or key not in known}


def aliases(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the field names by their aliases, the names that users write."""
    return {str(info.validation_alias or name): name for name, info in model.model_fields.items()}


def single_value(value: object) -> str:
    """Return the text of a single value, without spaces around it. Raises the field's error for anything else."""
    if isinstance(value, str):
        return value.strip()
    raise field_error("is not a single value", "Write one value here.")


@dataclass(frozen=True, eq=False)
class Parser(GroupedMetadata):
    """Annotate a field with the function that reads it and with the JSON schema of what is written."""

    parse: Callable[[object], object]
    schema: Mapping[str, Any]

    def __iter__(self) -> Iterator[object]:
        yield BeforeValidator(self.parse)
        yield schema_as(self.schema)


def one_of(*values: str, also: Mapping[str, str] | None = None) -> Parser:
    """Return a parser of one of a few values, in any case; `also` maps other spellings to values."""
    spellings = {value.lower(): value for value in values} | dict(also or {})

    def parse(value: object) -> str:
        choice = spellings.get(single_value(value).lower())
        if choice is None:
            raise field_error("is none of the choices", f"Choose one of: {', '.join(values)}.")
        return choice

    return Parser(parse, {"enum": list(values)})


def matching(pattern: str, message: str, hint: str) -> BeforeValidator:
    """Return a validator of text that matches a whole pattern; the text is unchanged."""
    compiled = re.compile(pattern, re.ASCII)

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise field_error("is not a single value", hint)
        if not compiled.fullmatch(value):
            raise field_error(message, hint)
        return value

    return BeforeValidator(parse)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise field_error("is not a single value", "Write one name here.")
    name = normal_name(value)
    if (fault := name_fault(name)) is not None:
        raise field_error(*fault)
    return name


def _earlier_name(value: object) -> str:
    return value if isinstance(value, str) and was_a_name(value) else _name(value)


def _yes_no(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = single_value(value).lower()
    if text not in YES | NO:
        raise field_error("is neither true nor false", "Write true or false.")
    return text in YES


def prompt_text(*, max_length: int) -> Parser:
    """Return a parser of a prompt: text that is not blank, has at most `max_length` characters (not bytes) and no
    control characters."""

    def parse(value: object) -> str:
        if not isinstance(value, str):
            raise field_error("is not one text", "Write the prompt as one text, in quotes.")
        if not value.strip():
            raise field_error("is blank", "Write a prompt or leave the field out.")
        if len(value) > max_length:
            raise field_error(f"has {len(value)} characters", f"Shorten it to {max_length} at most.")
        if control := _CONTROL.search(value):
            raise field_error(f"holds the control character U+{ord(control[0]):04X}", "Remove it.")
        return value

    return Parser(parse, {"type": "string", "minLength": 1, "maxLength": max_length})


def schema_as(schema: Mapping[str, Any]) -> WithJsonSchema:
    """Annotate a field with the JSON schema of what is written, which differs from the value that is kept."""
    return WithJsonSchema(dict(schema), mode="validation")


Name = Annotated[
    str,
    BeforeValidator(_name),
    schema_as({"type": ["string", "integer"], "pattern": PATTERN}),
]
EarlierName = Annotated[
    str,
    BeforeValidator(_earlier_name),
    schema_as({"type": ["string", "integer"], "minLength": 1, "maxLength": MAX_NAME_LENGTH}),
]
YesNo = Annotated[bool, BeforeValidator(_yes_no), schema_as({"type": "boolean"})]
