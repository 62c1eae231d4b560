"""JSON schemas of the files that users write, for their editors; `python -m extend_pipeline.providers` writes them."""

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from extend_pipeline.config.fields.timezone import HomeFields
from extend_pipeline.config.model.account_defaults import AccountDefaults
from extend_pipeline.config.model.alerts import ALERTS_FIELD, Alerts
from extend_pipeline.config.model.catalogue import BranchSource, CatalogueDefaults, Entry
from extend_pipeline.config.model.provider import Providers

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def catalogue_schema(providers: Providers) -> dict[str, Any]:
    """Return the JSON schema of catalog.yaml, as it is written: `to` and `duration` in seconds."""
    sources = [provider.source for provider in providers]
    extends = [provider.extend for provider in providers]
    definitions = _definitions(Entry, BranchSource, CatalogueDefaults, *sources, *extends)
    for extend in extends:
        definitions[extend.__name__] |= dict(extend.written_schema)
    entry = definitions["Entry"]
    choices: dict[str, list[type[BaseModel]]] = {"source": [*sources, BranchSource], "extend": [*extends]}
    for field, models in choices.items():
        texts = {k: v for k, v in entry["properties"][field].items() if k in ("title", "description", "examples")}
        entry["properties"][field] = texts | {"anyOf": [_ref(model) for model in models]}
    schema = _file("Catalogue of videos", "videos", "The videos to extend.", [Entry], definitions)
    schema["properties"]["defaults"] = {"description": "What holds for all videos.", **_ref(CatalogueDefaults)}
    return schema


def accounts_schema(providers: Providers) -> dict[str, Any]:
    """Return the JSON schema of accounts.yaml, as it is written: budgets and prices in units."""
    models = [provider.account for provider in providers]
    definitions = _definitions(AccountDefaults, Alerts, *models)
    for model in models:
        # optional in code, where the class implies it; required in a file, where it selects the class
        definitions[model.__name__]["required"].append("provider")
    schema = _file("Accounts", "accounts", "The accounts that videos name.", models, definitions)
    schema["properties"] |= _definitions(HomeFields)["HomeFields"]["properties"]
    schema["properties"]["defaults"] = {
        "description": "What holds for all accounts that say nothing else.",
        **_ref(AccountDefaults),
    }
    schema["properties"][ALERTS_FIELD] = {
        "description": "Where alerts go: what waits for a person, and failed runs.",
        **_ref(Alerts),
    }
    return schema


def schema_files(providers: Providers) -> dict[str, str]:
    """Return the text of both schema files, by their names."""
    return {
        "catalog.schema.json": rendered(catalogue_schema(providers)),
        "accounts.schema.json": rendered(accounts_schema(providers)),
    }


def rendered(schema: Mapping[str, Any]) -> str:
    """Return the text of a schema file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _definitions(*models: type[BaseModel]) -> dict[str, Any]:
    _, schema = models_json_schema([(model, "validation") for model in models], by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        # docstrings are for readers of the code; users read the descriptions of the fields
        definition.pop("description", None)
        for field in definition.get("properties", {}).values():
            field.pop("default", None)
            field.pop("title", None)
    return definitions


def _file(
    title: str, root: str, description: str, models: list[type[Any]], definitions: Mapping[str, Any]
) -> dict[str, Any]:
    items = [_ref(model) for model in models]
    return {
        "$schema": DIALECT,
        "title": title,
        "type": "object",
        "required": [root],
        "additionalProperties": False,
        "patternProperties": {"^x-": {"description": "Yours, as a place for anchors; not looked at."}},
        "properties": {
            root: {
                "description": description,
                "type": ["array", "null"],
                "items": items[0] if len(items) == 1 else {"anyOf": items},
            }
        },
        "$defs": dict(sorted(definitions.items())),
    }


def _ref(model: type[Any]) -> dict[str, str]:
    return {"$ref": f"#/$defs/{model.__name__}"}
