"""Read a node into a model, and turn pydantic's errors into issues with file, line and hint."""

import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from extend_pipeline.config.fields.text import FIELD_ERROR, RequiredBecause, aliases
from extend_pipeline.config.files.located import Node, locate
from extend_pipeline.config.issues import ConfigIssue, FieldIssue, did_you_mean

M = TypeVar("M", bound=BaseModel)


def no_signed_url(field: str, value: str) -> bool:
    """Return whether a message may show a value of the catalogue: anything but an address that may hold a signature or
    a password."""
    return not (field.endswith("url") and set("@?#") & set(value))


@dataclass(frozen=True)
class Scope:
    """One entry of a file. `subject` is its key or name; `may_show(field, value)` decides whether a message may show a
    value."""

    file: str
    node: Node
    subject: str | None
    may_show: Callable[[str, str], bool]

    def issue(self, issue: FieldIssue) -> ConfigIssue:
        """Return an issue with the file and the line of its field."""
        field, line, value = locate(self.node, issue.loc)
        shown = value is not None and field is not None and issue.about_value and self.may_show(field, value)
        given = value if shown else None
        return ConfigIssue(self.file, line, issue.message, issue.hint, subject=self.subject, field=field, given=given)

    def read(
        self,
        model: type[M],
        *under: str,
        context: object = None,
        owners: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[M | None, list[ConfigIssue]]:
        """Return the part of the entry under some keys as a model, by its written names; or None and every issue.

        `context` is passed to validators. `owners` maps fields to the providers that have them, because a field that
        the model lacks may be another provider's.
        """
        node = self.node
        for key in under:
            node = node.child(key) or Node(node.line, None)
        try:
            return model.model_validate(node.value, by_alias=True, by_name=False, context=context), []
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            return None, [self.issue(_field_issue(model, under, dict(detail), owners or {})) for detail in details]


def _field_issue(
    model: type[BaseModel], under: Sequence[str], detail: dict[str, Any], owners: Mapping[str, Sequence[str]]
) -> FieldIssue:
    inner = tuple(step for step in detail["loc"] if not str(step).startswith("form:"))
    loc = (*under, *inner)
    kind: str = detail["type"]
    if kind == FIELD_ERROR:
        if "at" in detail["ctx"]:
            loc = (*loc[:-1], detail["ctx"]["at"])
        return FieldIssue(loc, detail["ctx"]["message"], detail["ctx"]["hint"])
    if kind == "missing":
        return FieldIssue(loc, f"is missing{_reason(model, inner)}", _example(model, inner))
    if kind == "extra_forbidden":
        if len(inner) == 1 and inner[0] in owners:
            hint = f"It is a field of {' and '.join(owners[str(inner[0])])}; leave it out."
            return FieldIssue(loc, "is not a known field here", hint, about_value=False)
        known = [name for holder in _models_at(model, inner[:-1]) for name in aliases(holder)]
        hint = did_you_mean(str(inner[-1]), known, label="Known here")
        return FieldIssue(loc, "is not a known field here", hint, about_value=False)
    if kind in ("model_type", "model_attributes_type", "dict_type", "union_tag_invalid", "union_tag_not_found"):
        what = "is" if loc else "this entry is"
        return FieldIssue(
            loc, f"{what} not a set of fields", _example(model, inner) or "Write fields with their values."
        )
    return FieldIssue(loc, "can't be used here", _example(model, inner))


def _example(model: type[BaseModel], loc: Sequence[object]) -> str:
    info, whole = _field_at(model, loc), _field_at(model, loc[:-1])
    if info is None or not info.examples:
        return ""
    # a provider's own example of the fields together, before that of the field, which several providers have
    own = re.search(rf"\b{loc[-1]}: ([A-Z_]+)", str((whole.examples or [""])[0])) if whole is not None else None
    return f"Write {loc[-1]}: {info.examples[0] if own is None else own[1]}"


def _reason(model: type[BaseModel], loc: Sequence[object]) -> str:
    info = _field_at(model, loc)
    metadata = [] if info is None else info.metadata
    reason = next((item.reason for item in metadata if isinstance(item, RequiredBecause)), None)
    return f", and it has no default: {reason}" if reason else ""


def _field_at(model: type[BaseModel], loc: Sequence[object]) -> FieldInfo | None:
    if not loc:
        return None
    for holder in _models_at(model, loc[:-1]):
        name = aliases(holder).get(str(loc[-1]))
        if name is not None:
            return holder.model_fields[name]
    return None


def _models_at(model: type[BaseModel], loc: Sequence[object]) -> list[type[BaseModel]]:
    holders: list[type[BaseModel]] = [model]
    for step in loc:
        named = [(holder, aliases(holder).get(str(step))) for holder in holders]
        holders = [
            inner
            for holder, name in named
            if name is not None
            for inner in _models_in(holder.model_fields[name].annotation)
        ]
    return holders


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
