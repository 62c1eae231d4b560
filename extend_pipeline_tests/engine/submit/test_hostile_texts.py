"""Texts of operators and providers (prompts, ids, messages, URLs) stay text everywhere. They reach no SQL, no path, no
terminal and no markup."""

from __future__ import annotations

import json
import socket
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import select

from extend_pipeline.cli import cli
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.engine.advance import advance
from extend_pipeline.engine.home import Pipeline, wall_ms
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.warehouse.read import query
from extend_pipeline_tests.providers.http.raw_server import RawServer, Script, answer, raw_server
from extend_pipeline_tests.providers.kling.bodies import done, envelope, failure
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive, entry, source_id
from extend_pipeline_tests.support.ledger.reckoning import reckon, replays_to_the_same

PROMPTS = {
    "quotes": "'; DROP TABLE attempts; -- \" ` \\' $$ %s {0} {x} :name ?",
    "a path": "../../../../etc/passwd",
    "right to left": "\u202e4pm.exe\u2066 \u200fabc\u200e",
    "lines": "one\ntwo\r\nthree\u2028four",
    "markup": "[red]x[/] <script>alert(1)</script> ![p](http://evil.example/x.png) :smile:",
    "YAML and JSON": '{"a": [1, null]} - !!python/object:os.system [x] # &a *a',
    "wide and combining": "🎬👨‍👩‍👧 e\u0301 ﷽ \U0001f1e9\U0001f1ea ￼",
    "a formula": "=HYPERLINK(\"http://evil.example\",\"x\")",
    "long": "ab'\" " * 500,
}  # fmt: skip
SHOWN_ANYWAY = "\u200c\u200d"


def harmful(text: str) -> set[str]:
    """Return the characters that act on a terminal or turn the reading direction; line ends are the program's own."""
    bad = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    return {char for char in text if unicodedata.category(char) in bad and char not in SHOWN_ANYWAY + "\n"}


def run(home: EngineHome, *arguments: str) -> Any:
    return CliRunner(env={"EXTEND_PIPELINE_LEDGER_URL": home.ledger_url}).invoke(
        cli, ["--home", str(home.path), *arguments]
    )


def column(pipeline: Pipeline, name: str) -> list[Any]:
    with pipeline.ledger.read() as connection:
        rows = connection.execute(select(tables.attempts.c[name]).order_by(tables.attempts.c.video_key))
        return list(rows.scalars())


def test_prompts_come_through_everything_unchanged(home: EngineHome, tmp_path: Path) -> None:
    numbers = range(len(PROMPTS))
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in numbers])
    listed = enumerate(PROMPTS.values())
    home.write([])
    entries = [entry(f"v{number:03}", source_id(number), steps=1, prompt=prompt) for number, prompt in listed]
    (home.path / "catalog.yaml").write_text(yaml.safe_dump({"videos": entries}), encoding="utf-8")
    with home.open() as pipeline:
        assert {video.state for video in drive(pipeline, publish=True).videos} == {VideoState.COMPLETE}
        assert reckon(home, pipeline.ledger).charges == len(PROMPTS)
        assert [json.loads(text)["prompt"] for text in column(pipeline, "params")] == list(PROMPTS.values())
        assert replays_to_the_same(pipeline.ledger, tmp_path) > 0
    sql = "SELECT prompt FROM extension_requests ORDER BY video_key"
    assert [row[0] for row in query(home.settings.warehouse_path, sql).rows] == list(PROMPTS.values())
    by_parameter = "SELECT count(*) FROM extension_requests WHERE prompt = ?"
    for prompt in PROMPTS.values():
        assert query(home.settings.warehouse_path, by_parameter, [prompt]).rows == [(1,)]
    assert [row[0] for row in json.loads(run(home, "sql", sql, "--json").stdout)["rows"]] == list(PROMPTS.values())
    for arguments in (["status"], ["plan"], ["sql", sql], ["status", "--json"], ["sql", sql, "--json"]):
        result = run(home, *arguments)
        assert result.exit_code == 0, result.output
        assert not harmful(result.output), arguments


def test_prompts_are_plain_text_to_dagster(home: EngineHome) -> None:
    import dagster as dg

    from extend_pipeline.dagster_defs.assets.metadata import completed_metadata, request_metadata
    from extend_pipeline.dagster_defs.assets.partition_state import read_facts

    home.sandbox.seed([{"video_id": source_id(0), "duration": 5.0}])
    home.write([entry("v000", source_id(0), steps=1, prompt=PROMPTS["markup"])])
    with home.open() as pipeline:
        drive(pipeline)
        (facts,) = read_facts(pipeline, ["v000"]).values()
        prompt = request_metadata(facts)["prompt"]
        assert isinstance(prompt, dg.TextMetadataValue)
        assert prompt.value == PROMPTS["markup"]
        completed = completed_metadata(facts, pipeline.store).values()
        markdown = [value for value in completed if isinstance(value, dg.MarkdownMetadataValue)]
        assert len(markdown) == 4, "the poster and a preview of each panel"
        assert not any("script" in (value.value or "") for value in markdown)


@pytest.mark.parametrize(
    "prompt", ["a\0b", "\x1b[2J", "x" * 10_000, "\x07", " "], ids=["NUL", "ESC", "10 kB", "BEL", "blank"]
)
def test_a_prompt_that_no_provider_accepts_is_refused_before_anything_runs(prompt: str, home: EngineHome) -> None:
    home.write([entry("v000", source_id(0), steps=1, prompt=prompt)])
    with pytest.raises(ConfigError) as caught, home.open():
        pass
    (problem,) = caught.value.problems
    assert "prompt" in problem.text()
    assert not (home.path / "state").exists()
    result = run(home, "plan")
    assert result.exit_code == 2
    assert not harmful(result.output)


@pytest.mark.parametrize("key", ["../x", "a/b", "a'b", "a\nb", "a\0b", "\u202eabc", "x" * 65, "", "a b", "a…"])
def test_a_key_that_is_no_name_is_refused(key: str, home: EngineHome) -> None:
    home.write([entry(key, source_id(0), steps=1)])
    with pytest.raises(ConfigError), home.open():
        pass
    assert not harmful(run(home, "plan").output)


# An upstream with hostile responses

TASK = "../../v1/x';DROP/**/TABLE/**/attempts;--\"%2e%00?a=b#c"
WORDS = "'; DROP TABLE attempts; --\n\u202eevil\u2066 \x1b[31mred\x00 <b>x</b> [link=http://evil]y " + "z" * 10_000


def upstream(**changes: Any) -> Script:
    """Return a Kling server that accepts every task and then reports these fields of it."""

    def script(server: RawServer, connection: socket.socket, index: int) -> None:
        if server.line(index).startswith("POST"):
            external = json.loads(server.body(index))["external_task_id"]
            server.external = external  # type: ignore[attr-defined]
            data = {"task_id": TASK, "task_status": "submitted", "task_info": {"external_task_id": external}}
            connection.sendall(answer(200, envelope(data)))
        elif "/v1/videos/video-extend/" in server.line(index):
            info = {"parent_video": {"id": source_id(0)}, "external_task_id": server.external}  # type: ignore[attr-defined]
            connection.sendall(
                answer(200, envelope(done(task_id=TASK, task_info=info, updated_at=wall_ms(), **changes)))
            )
        else:
            connection.sendall(answer(404, failure(1203)))

    return script


def over_hostile(home: EngineHome, script: Script, then: Callable[[Pipeline, RawServer], None]) -> None:
    with raw_server(script) as server:
        home.write([entry("v000", source_id(0), steps=1)], account(server.base_url))
        clock = JumpClock()
        with home.open(clock) as pipeline:
            for _ in range(4):
                advance(pipeline)
                clock.skip(1_000)
            then(pipeline, server)


def test_an_id_and_a_message_of_the_upstream_stay_text(home: EngineHome) -> None:
    def check(pipeline: Pipeline, server: RawServer) -> None:
        assert column(pipeline, "task_id") == [TASK]
        assert column(pipeline, "state") == ["failed"]
        (message,) = column(pipeline, "error_message")
        assert "DROP TABLE" in message
        assert "\0" not in message
        assert not harmful(message), "Dagster's logs show it as it stands, and terminals show those"
        assert len(message) < 10_000
        gets = [server.line(index) for index in range(len(server.requests)) if server.line(index).startswith("GET")]
        queries = [line for line in gets if "video-extend/" in line]
        assert queries
        assert all("%2E%2E%2F" in line or "..%2F" in line for line in queries), "the id is one segment of the path"
        assert not any("/../" in line or "#" in line or "'" in line for line in queries)

    over_hostile(home, upstream(task_status="failed", task_status_msg=WORDS, task_result={}), check)
    rows = query(home.settings.warehouse_path, "SELECT task_id, error_message FROM extension_requests").rows
    assert rows[0][0] == TASK
    assert "DROP TABLE" in rows[0][1]
    for arguments in (["status"], ["plan"], ["sql", "SELECT * FROM extension_requests"], ["status", "--json"]):
        assert not harmful(run(home, *arguments).output), arguments


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "http://169.254.169.254/latest/meta-data", "http://127.0.0.1:22/",
        "https://10.0.0.1/a.mp4", "https://evil.example/../../../../tmp/x.mp4", "/etc/passwd", "../a.mp4",
        "https://user:pass@v1.klingai.com/a.mp4", "https://v1.klingai.com/a.mp4\r\nX-Evil: 1",
        "https://v1.klingai.com.evil.example/a.mp4", "data:video/mp4;base64,AAAA", "concat:/etc/passwd|/etc/group",
        "https://v1.klingai.com\\@evil.example/a", "ftp://v1.klingai.com/a.mp4",
    ],
)  # fmt: skip
def test_a_hostile_url_of_the_upstream_is_never_followed(url: str, home: EngineHome) -> None:
    def check(pipeline: Pipeline, server: RawServer) -> None:
        assert column(pipeline, "state")[0] in ("succeeded", "submitted", "processing"), (
            "paid, and waiting for a person"
        )
        assert column(pipeline, "path") == [None]
        assert all(b"video-extend" in request.split(b"\r\n")[0] for request in server.requests)

    videos = [{"id": "827942411241809999", "url": url, "duration": "9.6"}]
    over_hostile(home, upstream(task_result={"videos": videos}), check)
    state = home.path / "state"
    assert not [path for path in (state / "media").rglob("*") if path.is_file()]
    result = run(home, "status")
    assert not harmful(result.output)
