"""Videos and accounts with names in any script work everywhere: files, ledger, sandbox, warehouse, screens,
CSV and SQL; and names in ASCII keep every step that was paid for."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner
from sqlalchemy import select

from extend_pipeline.cli import cli
from extend_pipeline.config.load import read_configuration
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.plan import chain
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.support.home.engine_home import (
    EngineHome,
    JumpClock,
    account,
    branch,
    drive,
    entry,
    source_id,
)
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same

ACCOUNT = "可灵-主账户"
KEYS = ["港口晨曦", "ميناء_الفجر", "नमस्ते-दुनिया", "Zürich.2026", "𠮷" * 64, "harbour-dawn"]


def decomposed(text: str) -> str:
    """Return the same name as another system types it."""
    return unicodedata.normalize("NFD", text)


def run(home: EngineHome, *arguments: str, code: int = 0) -> Any:
    result = CliRunner(env={"EXTEND_PIPELINE_LEDGER_URL": home.ledger_url}).invoke(
        cli, ["--home", str(home.path), *arguments]
    )
    assert result.exit_code == code, result.output
    return result


def test_names_of_any_script_go_from_the_catalogue_to_csv_and_sql(
    make_home: Callable[..., EngineHome], ledger_url: str, tmp_path: Path
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(len(KEYS))])
    # the account is named in composed letters in one file and in decomposed ones in the other, as two editors write it
    entries = [entry(key, source_id(n), account=decomposed(ACCOUNT), steps=1) for n, key in enumerate(KEYS)]
    entries.append(branch(decomposed("Zürich-zwei"), decomposed("Zürich.2026"), 1, steps=1))
    home.write([], account(home.sandbox.base_url, name=ACCOUNT))
    written = yaml.safe_dump({"videos": entries}, allow_unicode=True)  # JSON's escapes beyond U+FFFF are not YAML's
    (home.path / "catalog.yaml").write_text(written, encoding="utf-8")
    keys = sorted([*KEYS, "Zürich-zwei"])
    with home.open(JumpClock()) as pipeline:
        assert {video.state for video in drive(pipeline, publish=True).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == len(keys)
        assert replays_to_the_same(pipeline.ledger, tmp_path) > 0
        with pipeline.ledger.read() as connection:
            rows = list(connection.execute(select(tables.attempts.c.video_key, tables.attempts.c.account)))
    assert sorted(row[0] for row in rows) == keys
    assert {row[1] for row in rows} == {ACCOUNT}

    lineage_query = "SELECT DISTINCT video_key FROM lineage"
    assert sorted(row[0] for row in query(home.settings.warehouse_path, lineage_query).rows) == keys
    account_query = f"SELECT account FROM completed_extensions WHERE video_key = '{KEYS[0]}'"
    assert json.loads(run(home, "sql", account_query, "--json").stdout)["rows"] == [[ACCOUNT]]
    sheet = list(csv.reader(io.StringIO(run(home, "sql", lineage_query, "--csv").stdout)))
    assert sorted(row[0] for row in sheet[1:]) == keys
    status = json.loads(run(home, "status", "--json").stdout)
    assert sorted(video["video"] for video in status["videos"]) == keys
    assert [row_account["account"] for row_account in status["accounts"]] == [ACCOUNT]
    output = run(home, "sql", lineage_query).stdout
    assert all(key in output.replace("\n", "").replace(" ", "") for key in keys if len(key) < 20)


def test_commands_accept_a_name_in_composed_and_decomposed_letters(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    home.write([entry("Zürich", source_id(0), account="möwe", steps=1)], account(home.sandbox.base_url, name="möwe"))
    run(home, "pause", decomposed("möwe"))
    with home.open() as pipeline:
        assert advance(pipeline, publish=False).plan.videos[0].due is None
    run(home, "resume", decomposed("möwe"))
    run(home, "advance", "--until-idle", "--video", decomposed("Zürich"))
    assert len(home.sandbox.charges()["charges"]) == 1


def mistakes(home: EngineHome) -> list[tuple[str | None, str | None]]:
    """Return the account or video, and the field, of each mistake in the files."""
    read = read_configuration(home.settings, PROVIDERS, now=datetime.now(UTC))
    return [(problem.subject, problem.field) for problem in read.problems]


def test_one_name_in_two_forms_is_one_name(home: EngineHome) -> None:
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(2)])
    home.write([entry("Zürich", source_id(0), steps=1)])
    home.catalogue([entry("Zürich", source_id(0), steps=1), entry(decomposed("Zürich"), source_id(1), steps=1)])
    home.accounts(
        account(home.sandbox.base_url),
        *(account(home.sandbox.base_url, name=form("möwe")) for form in (str, decomposed)),
    )
    assert mistakes(home) == [("möwe", "name"), ("Zürich", "key")]


def test_a_name_that_is_no_longer_valid_goes_on_under_another(home: EngineHome, monkeypatch: Any) -> None:
    """Keys with three dots or a hyphen first were names once: what was paid for under them is not paid for again."""
    from extend_pipeline.config.fields import text as fields_text

    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(2)])
    before = [entry("-rf", source_id(0), steps=1), entry("a...b", source_id(1), steps=1)]
    with monkeypatch.context() as earlier:
        earlier.setattr(fields_text, "name_fault", lambda _: None)
        home.write(before)
        with home.open(JumpClock()) as pipeline:
            drive(pipeline)
    assert mistakes(home) == [("-rf", "key"), ("a...b", "key")]
    home.catalogue(
        [
            {**entry("rf", source_id(0), steps=1), "was": "-rf"},
            {**entry("a-b", source_id(1), steps=1), "was": "a...b"},
        ]
    )
    with home.open(JumpClock()) as pipeline:
        assert {video.state for video in drive(pipeline).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == 2


def test_names_in_ascii_keep_their_steps(home: EngineHome) -> None:
    """The figures are those of the version before names were of any script."""
    home.write([entry("harbour-dawn", "827942411241803822", prompt="the fog lifts", steps=2)])
    with home.open() as pipeline:
        video = pipeline.configuration.catalogue.videos["harbour-dawn"]
        names = chain.digests(video, 2, videos={})
    assert names == [
        "d320001c45e0f08df4579d837f890e121bff059090159fd684141c33800f602d",
        "e1ea6e598392d76174545b49aebd2f0c4170243fff11bf18290bb1efd157df2d",
        "e9255c40f8e64aced3d88ad8efb7b25ee6f4b28a073cf712fcaea80fc968d1d1",
    ]
    ours = chain.external_task_id(video_key=video.key, hop=1, generation=1, chain_digest=names[1])
    assert ours == "ep-44147374e1ec867fb1b36803fe78fa2cbb7891a4"
