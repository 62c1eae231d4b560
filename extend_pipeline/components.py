"""The component `ExtendPipeline` of Dagster's `dg`: a `defs.yaml` mounts a home, with the choices of `build_defs`."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self

import dagster as dg
from dagster._utils.pydantic_yaml import enrich_validation_errors_with_source_position
from dagster.components import scaffold_component
from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator

from extend_pipeline.dagster_defs.build import build_mounted
from extend_pipeline.dagster_defs.mount import TEMPLATE, VIDEOS, Mount
from extend_pipeline.dagster_defs.resources import HomeResource
from extend_pipeline.providers.registry import PROVIDERS

_ATTRIBUTES: Final = "attributes"


class ScaffoldParams(BaseModel):
    """The options of `dg scaffold defs`."""

    home: str | None = Field(default=None, description="Folder of catalog.yaml, from the project's root.")
    key_prefix: str | None = Field(default=None, description="Prefix of all names. Default: the name of the folder.")


class ExtendPipelineScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes a `defs.yaml` whose names collide with those of no other folder."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """Return the parameters of the command line."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Write the file."""
        folder = request.target_path.stem if request.append else request.target_path.name
        home = request.params.home or f"data/{folder}"
        scaffold_component(
            request,
            {
                "home": home if Path(home).is_absolute() else f"{{{{ context.project_root }}}}/{home}",
                "key_prefix": request.params.key_prefix or folder,
                "sensors": "stopped",
                "schedules": "stopped",
            },
        )


def _let_templates_pass(schema: dict[str, Any]) -> None:
    """Change a JSON schema so that a template is taken for any value, as it is when the file is loaded."""
    properties = schema["properties"]
    for name, inner in properties.items():
        shown = {key: inner.pop(key) for key in ("title", "description", "examples", "default") if key in inner}
        if "enum" in inner:
            del inner["type"]  # or a value of another type would be reported twice
        properties[name] = {**shown, "if": {"type": "string", "pattern": TEMPLATE}, "else": inner}


def _has_template(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_template, value.values()))
    if isinstance(value, str):
        return re.search(TEMPLATE, value) is not None
    return isinstance(value, Sequence) and any(map(_has_template, value))


@dg.scaffold_with(ExtendPipelineScaffolder)
class ExtendPipeline(dg.Component, dg.Resolvable, Mount):
    """Extend AI-made videos through paid providers: assets, checks, jobs, schedules and sensors of one home, the folder
    of catalog.yaml and accounts.yaml."""

    model_config = ConfigDict(json_schema_extra=_let_templates_pass)

    home: Annotated[
        str,
        Field(
            min_length=1,
            description="The home: the folder of catalog.yaml and accounts.yaml, from the folder of this defs.yaml. "
            "Each home of a code location needs a key_prefix of its own.",
            examples=["{{ context.project_root }}/data/films", "/srv/films"],
        ),
    ]

    ledger_url_env: Annotated[
        str,
        Field(
            description="Name of the environment variable that holds the address of this home's ledger. Two homes "
            "never share a ledger. Default: EXTEND_PIPELINE_LEDGER_URL, else SQLite in the home.",
            examples=["FILMS_LEDGER_URL"],
        ),
    ] = ""

    @field_validator("*", mode="wrap")
    @classmethod
    def _leave_templates(cls, value: object, handler: ValidatorFunctionWrapHandler) -> object:
        """Leave a value with a template as it is, because it is validated when it is rendered."""
        return value if _has_template(value) else handler(value)

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Return what Dagster shows about the component."""
        return dg.ComponentTypeSpec(
            description=cls.__doc__,
            tags=["video", *(spec.name for spec in PROVIDERS)],
            produces=["asset", "asset_check", "job", "resource", "schedule", "sensor"],
        )

    @classmethod
    def model(cls) -> type[BaseModel]:
        """Return the schema of `attributes`, which is this class: a derived one would take any text for a choice."""
        return cls

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> Self:
        """Load a component; a file without attributes gets the same message as one that lacks a field."""
        return super().load(attributes or cls.model_construct(), context)

    @classmethod
    def resolve_from_model(cls, context: dg.ResolutionContext, model: BaseModel) -> Self:
        """Return the component of a file, its templates rendered. Raises ValidationError with file, line and field of
        every mistake."""
        written = model.model_dump(exclude_unset=True, warnings=False).items()
        # Dagster would render a text such as 2024 as a number
        values = {name: context.resolve_value(value) if _has_template(value) else value for name, value in written}
        tree = context.source_position_tree
        if tree is None:
            return cls.model_validate(values)
        with enrich_validation_errors_with_source_position(tree.children.get(_ATTRIBUTES, tree), [_ATTRIBUTES]):
            component = cls.model_validate(values)
        home = context.resolve_source_relative_path(component.home)
        return component.model_copy(update={"home": str(home)})

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Return the definitions of the home. Raises DagsterInvalidDefinitionError if another file has the same names,
        and what Dagster raises for another home's file with a mistake, because its names aren't known."""
        for other in context.component_tree.get_all_components(ExtendPipeline):
            if other is self:
                continue
            if self.name("") == other.name("") or self.home_key == other.home_key:
                raise dg.DagsterInvalidDefinitionError(_same_names(self, other))
        return build_mounted(self, HomeResource(home=self.home, ledger_url_env=self.ledger_url_env))


def _same_names(own: ExtendPipeline, other: ExtendPipeline) -> str:
    """Return why two homes can't be mounted side by side, and what helps."""
    homes = f"the homes {own.home} and {other.home}"
    if own.name("") != other.name(""):
        return f"{homes} have the same resource_key ({own.home_key}); give each its own, or leave it out"
    one, two = ("/".join(mount.key_prefix) or "none" for mount in (own, other))
    if one == two:
        return f"{homes} have the same key_prefix ({one}); give each its own"
    return (
        f"{homes} have the key_prefix {one} and {two}, by which jobs, sensors and sets of partitions have the same "
        f"names ({own.name(VIDEOS)}, …), because - and / are written _ there; give one of them another key_prefix"
    )
