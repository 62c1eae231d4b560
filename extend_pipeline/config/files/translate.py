"""Reads a located node into a model, and tells pydantic's refusals in plain words with the line they belong to."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.fields.text import FIELD_ERROR, ExplicitOptional, aliases
from extend_pipeline.config.files.located import Node, locate
from extend_pipeline.config.issues import ConfigIssue, did_you_mean

M = TypeVar("M", bound=BaseModel)


def no_signed_url(field: str, given: str) -> bool:
    """For the catalogue: all may be repeated to its writer but addresses that carry a signature or a password."""
    return not (field.endswith("url") and set("@?#") & set(given))


@dataclass(frozen=True)
class Scope:
    """One entry of a file, and what its problems have in common. `tellable` says which values may be repeated."""

    file: str
    node: Node
    subject: str | None
    tellable: Callable[[str, str], bool]

    def problem(self, complaint: FieldIssue) -> ConfigIssue:
        """Return the complaint with the place where it stands."""
        place = locate(self.node, complaint.loc)
        given = place.given
        if given is None or place.field is None or not complaint.about_value or not self.tellable(place.field, given):
            given = None
        return ConfigIssue(self.file, place.line, self.subject, place.field, given, complaint.message, complaint.hint)

    def read(
        self,
        model: type[M],
        *under: str,
        context: object = None,
        owners: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[M | None, list[ConfigIssue]]:
        """Return the part of the entry under some keys as a model, by written names; or None and everything that is
        wrong.

        Validators are handed `context`. `owners` are the providers by the fields that they have: a field that the model
        hasn't may be another provider's.
        """
        node = self.node
        for key in under:
            node = node.child(key) or Node(node.line, None)
        try:
            return model.model_validate(node.value, by_alias=True, by_name=False, context=context), []
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            return None, [self.problem(_complaint(model, under, dict(detail), owners or {})) for detail in details]


def _complaint(
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
    info = _field_at(model, loc)
    if info is None or not info.examples:
        return ""
    return f"Write {loc[-1]}: {info.examples[0]}"


def _reason(model: type[BaseModel], loc: Sequence[object]) -> str:
    info = _field_at(model, loc)
    found = [] if info is None else [each.reason for each in info.metadata if isinstance(each, ExplicitOptional)]
    return f", and it has no default: {found[0]}" if found else ""


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
