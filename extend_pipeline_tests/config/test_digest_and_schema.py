"""Canonical JSON, the schema files, and the examples that `init` writes."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Iterator
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import extend_pipeline
from extend_pipeline.config.digest import canonical_json, digest
from extend_pipeline.config.issues import ConfigError, ConfigIssue
from extend_pipeline.config.json_schema import accounts_schema, catalogue_schema, rendered, schema_files
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import load, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

SCHEMAS = Path(extend_pipeline.__file__).parent.parent / "docs/schema"
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(_json)
def test_canonical_json_is_json_of_the_same_value(value: object) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_equal_values_have_the_same_digest() -> None:
    assert (
        canonical_json({"b": [1.0, Decimal("0.50"), -0.0], "a": ("é", None, True)})
        == '{"a":["\\u00e9",null,true],"b":[1,0.5,0]}'
    )
    assert digest({"x": 1, "y": 0.1}) == digest({"y": Decimal("0.10"), "x": 1.0})
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest("1") != digest(1)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (float("nan"), ValueError),
        (Decimal("inf"), ValueError),
        ({1: 2}, TypeError),
        (b"x", TypeError),
        ({1, 2}, TypeError),
    ],
)
def test_what_has_no_canonical_json_is_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        canonical_json([value])


def test_the_committed_schemas_are_up_to_date() -> None:
    written = schema_files(PROVIDERS)
    assert sorted(written) == sorted(path.name for path in SCHEMAS.iterdir())
    for name, text in written.items():
        assert (SCHEMAS / name).read_text("utf-8") == text, "run python -m extend_pipeline.providers docs/schema"


def _fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for definition in [schema, *schema["$defs"].values()]:
        yield from definition.get("properties", {}).items()


@pytest.mark.parametrize(
    "schema", [catalogue_schema(PROVIDERS), accounts_schema(PROVIDERS)], ids=["catalogue", "accounts"]
)
def test_every_field_is_described_as_it_is_written(schema: dict[str, Any]) -> None:
    assert [name for name, field in _fields(schema) if not field.get("description")] == []
    assert not [name for name, _ in _fields(schema) if name.endswith(("_ms", "_micros", "_s"))]
    references = {part.split('"')[0] for part in rendered(schema).split("#/$defs/")[1:]}
    assert references <= schema["$defs"].keys()


def test_the_schemas_name_what_users_write() -> None:
    catalogue, accounts = dict(_fields(catalogue_schema(PROVIDERS))), dict(_fields(accounts_schema(PROVIDERS)))
    assert {"videos", "key", "video_id", "duration", "to", "steps", "prompts", "branch_of", "hop"} <= catalogue.keys()
    assert {
        "per_day",
        "total",
        "unit_price",
        "per_extension",
        "first_after",
        "every",
        "settle",
        "patience",
    } <= accounts.keys()


def test_the_examples_are_valid(tmp_path: Path) -> None:
    for name in ("catalog.yaml", "accounts.yaml"):
        text = resources.files("extend_pipeline.config").joinpath("examples", name).read_text("utf-8")
        assert "#" in text
        (tmp_path / name).write_text(text, encoding="utf-8")
    read = load(tmp_path)
    assert list(read.catalogue.videos) == ["harbour-dawn", "harbour-walk", "harbour-night"]
    assert list(read.accounts) == ["kling-main"]


def test_the_commented_examples_are_valid_too_and_show_every_provider(tmp_path: Path) -> None:
    for name in ("catalog.yaml", "accounts.yaml"):
        text = resources.files("extend_pipeline.config").joinpath("examples", name).read_text("utf-8")
        head, tail = text.split('take away "# " in front of what you need.')
        (tmp_path / name).write_text(f"{head}\n" + re.sub(r"(?m)^  # (?=[- ])", "  ", tail.partition("\n")[2]), "utf-8")
    read = load(tmp_path)
    assert [account.provider for account in read.accounts.values()] == ["kling", "kling-gateway", "vidu", "luma"]
    assert [video.provider for video in read.catalogue.videos.values()][3:] == ["kling-gateway", "vidu", "luma"]
    assert read.notes == ()


@pytest.mark.parametrize("name", ["kling-resale", "modelverse", "luma-resale"])
def test_the_defaults_in_the_commented_examples_are_the_defaults(tmp_path: Path, name: str) -> None:
    text = resources.files("extend_pipeline.config").joinpath("examples", "accounts.yaml").read_text("utf-8")
    block = text[text.index(f"  # - name: {name}") :].split("\n\n")[0]
    implicit = re.sub(r"(?m)^  # (?=[- ])", "  ", block)
    explicit = re.sub("(?m)^    # (?!price:)", "    ", implicit)
    assert explicit != implicit
    read = []
    for number, written in enumerate((implicit, explicit)):
        home = write_home(tmp_path / str(number), catalogue="videos:\n", accounts=f"accounts:\n{written}\n")
        read.append(load(home).accounts[name])
    assert read[0] == read[1]


def test_the_defaults_that_the_example_comments_on_are_the_defaults(tmp_path: Path) -> None:
    source = resources.files("extend_pipeline.config").joinpath("examples")
    text = source.joinpath("accounts.yaml").read_text("utf-8")
    (tmp_path / "catalog.yaml").write_text(source.joinpath("catalog.yaml").read_text("utf-8"), encoding="utf-8")
    (tmp_path / "accounts.yaml").write_text(text, encoding="utf-8")
    implicit = load(tmp_path).accounts
    head, tail = text.split("these are the defaults.\n")
    (tmp_path / "accounts.yaml").write_text(head + "\n" + re.sub(r"(?m)^    # ", "    ", tail), encoding="utf-8")
    assert load(tmp_path).accounts == implicit


def test_an_error_survives_pickling() -> None:
    problem = ConfigIssue("catalog.yaml", 3, "is odd", "Give 8.", subject="one", field="extend.to", given="7\n")
    error = pickle.loads(pickle.dumps(ConfigError([problem])))
    assert error.problems == (problem,)
    check_user_text(str(error))
