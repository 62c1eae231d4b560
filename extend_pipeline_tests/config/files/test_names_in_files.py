"""Names in any script in catalog.yaml, catalog.csv and accounts.yaml; refusals name place and reason; and the schemas
for editors accept the same names."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from extend_pipeline.config.issues import ConfigIssue
from extend_pipeline.config.json_schema import accounts_schema, catalogue_schema
from extend_pipeline.config.load import read_configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import ACCOUNTS, NOW, entry

DECOMPOSED = unicodedata.normalize("NFD", "Zürich")
HEADER = "key,account,source.video_id,source.model,source.mode,source.duration,extend.to"


def written(home: Path, *, catalogue: str = "", sheet: str = "", account: str = "kling-main") -> Settings:
    (home / "accounts.yaml").write_text(ACCOUNTS.replace("kling-main", account), encoding="utf-8")
    if catalogue:
        (home / "catalog.yaml").write_text(f"videos:\n{catalogue}", encoding="utf-8")
    if sheet:
        (home / "catalog.csv").write_text(f"{HEADER}\n{sheet}\n", encoding="utf-8")
    return Settings(home=home)


def problems(settings: Settings) -> tuple[ConfigIssue, ...]:
    return read_configuration(settings, PROVIDERS, now=NOW).problems


def test_a_sheet_and_a_file_name_videos_and_accounts_in_any_script(tmp_path: Path) -> None:
    sheet = f"{DECOMPOSED},可灵,827942411241803823,kling-v1-6,std,5.1,30"
    settings = written(tmp_path, catalogue=entry("港口晨曦", account="可灵"), sheet=sheet, account="可灵")
    configuration = read_configuration(settings, PROVIDERS, now=NOW)
    assert configuration.problems == ()
    assert list(configuration.catalogue.videos) == ["港口晨曦", "Zürich"]
    assert set(configuration.accounts) == {"可灵"}
    assert list(configuration.entries) == ["可灵"]


def test_the_same_key_in_a_sheet_and_in_another_form_in_the_file_is_the_same(tmp_path: Path) -> None:
    sheet = f"{DECOMPOSED},kling-main,827942411241803823,kling-v1-6,std,5.1,30"
    (problem,) = problems(written(tmp_path, catalogue=entry("Zürich"), sheet=sheet))
    assert (problem.file, problem.subject, problem.field) == ("catalog.csv", "Zürich", "key")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("a...b", "Dagster"),
        ("'-港口'", "option"),
        ("港" * 65, "65 characters"),
        ('"港\\u200b口"', "U+200B"),
        ("港/口", "/"),
    ],
)
def test_an_invalid_name_is_refused_with_its_place_and_reason(tmp_path: Path, key: str, reason: str) -> None:
    (problem,) = problems(written(tmp_path, catalogue=entry(key)))
    assert (problem.file, problem.line, problem.field) == ("catalog.yaml", 2, "key")
    assert reason in problem.message
    assert problem.hint


@pytest.mark.parametrize(
    ("was", "taken"), [("'-rf'", True), ("a...b", True), ("港口", True), ("'-港口'", False), ("a b", False)]
)
def test_an_earlier_name_may_be_one_of_those_that_were_allowed_before(tmp_path: Path, was: str, taken: bool) -> None:
    settings = written(tmp_path, catalogue=entry("one") + f"    was: {was}\n")
    assert [problem.field for problem in problems(settings)] == ([] if taken else ["was"])


def test_the_schemas_for_editors_accept_the_same_names() -> None:
    catalogue, accounts = catalogue_schema(PROVIDERS), accounts_schema(PROVIDERS)
    key = catalogue["$defs"]["Entry"]["properties"]["key"]["pattern"]
    name = accounts["$defs"]["KlingAccount"]["properties"]["name"]["pattern"]
    assert key == name
    for good in ("港口晨曦", "harbour-dawn", "नमस्ते", "_x", "a.b"):
        assert re.search(key, good)
    for bad in ("", "-x", ".x", "a...b", "a b", "a/b", "x" * 65):
        assert not re.search(key, bad)
