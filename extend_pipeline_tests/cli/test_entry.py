"""The entry point: help imports nothing heavy, errors end as exit codes, and no secret is shown."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from extend_pipeline import cli as entry
from extend_pipeline.cli import VERBS, cli
from extend_pipeline.commands.shared.examples import EXAMPLES
from extend_pipeline.config.json_schema import catalogue_schema
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.cli.conftest import Cli
from extend_pipeline_tests.support.home.homes import account, credentials_env, video, write_home
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

HEAVY = ("dagster", "pandas", "sqlalchemy", "rich", "duckdb", "av", "numpy", "pydantic", "httpx")


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from extend_pipeline.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        f"    print([name for name in {HEAVY!r} if name in sys.modules], end.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    *lines, last = done.stdout.splitlines()
    assert last == "[] 0"
    for name in VERBS:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None
        assert command.help is not None
        first = command.help.partition("\n\n")[0]
        assert first[:20] in next(line for line in lines if line.split()[:1] == [name])


def test_bytecode_that_a_full_disk_has_cut_is_named_and_what_to_do(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "extend_pipeline.cli", "--home", str(tmp_path / "home"), "status"]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, env=environment, capture_output=True, check=False)
    (compiled,) = (tmp_path / "compiled").rglob("commands/status.*.pyc")
    whole = compiled.read_bytes()
    compiled.write_bytes(whole[: len(whole) // 2])
    cut = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert cut.returncode == 1
    check_user_text(cut.stderr, without={str(compiled): "COMPILED"})
    compiled.unlink()
    mended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert mended.returncode == 2  # there is no home yet
    assert compiled.exists()


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_can_be_loaded_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_every_example_of_the_help_can_be_parsed(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "november.csv").touch()
    name, *words = shlex.split(line.partition(" > ")[0])
    command = cli.get_command(click.Context(cli), name)
    if isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    assert command is not None
    assert command.make_context(name, words).params
    shown = CliRunner().invoke(cli, [*line.split()[: 1 + line.startswith(("ledger ", "media "))], "--help"])
    assert f"extend-pipeline {line}" in shown.output


def test_only_the_demo_verbs_import_the_sandbox_and_no_verb_imports_dagster_before_it_runs() -> None:
    code = (
        "import sys\nfrom extend_pipeline.cli import cli\n"
        "for name in cli.list_commands(None):\n"
        "    if name not in ('demo', 'dev'):\n"
        "        cli.get_command(None, name)\n"
        "bad = ('dagster', 'pandas', 'duckdb', 'av', 'rich', 'extend_pipeline.sandbox')\n"
        "print([name for name in bad if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_start_loads_only_what_its_verb_needs(tmp_path: Path) -> None:
    home = write_home(tmp_path / "home", "http://127.0.0.1:9", [video("one")])
    names = ("alembic", "av", "dagster", "duckdb", "httpx", "numpy", "pandas")

    def loaded(*words: str, **keys: str) -> str:
        code = (
            "import sys\nfrom extend_pipeline.cli import main\n"
            "try:\n    main()\nexcept SystemExit:\n"
            f"    print(*(name for name in {names!r} if name in sys.modules))\n"
        )
        command = [sys.executable, "-c", code, "--home", str(home), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **keys})
        return done.stdout.splitlines()[-1]

    assert loaded("pause") == "alembic"  # it creates the ledger
    assert loaded("advance") == "duckdb"
    for verb in ("advance", "status", "plan", "publish"):
        assert loaded(verb) == ""
    assert loaded("resume") == ""
    assert loaded("advance", **credentials_env()) == "duckdb httpx"
    names += ("sqlalchemy", "extend_pipeline.config.load")
    query = loaded("sql", "FROM cost_by_video")
    assert query == "duckdb"


def test_a_misspelt_verb_is_wrong_use_and_the_near_one_is_named() -> None:
    result = CliRunner().invoke(cli, ["advanse"])
    assert result.exit_code == 2
    assert "advance" in result.stderr


def test_eight_mistakes_are_eight_lines_with_line_and_key_and_nothing_is_written(tmp_path: Path) -> None:
    wrong = [
        video("one", extend={"to": 4, "prompt": "x"}),
        video("two", extend={"steps": 2, "prmpt": "x"}),
        video("three", account="unlisted"),
        video("four", source={"video_id": "s", "model": "kling-v2", "mode": "std", "duration": 5}),
        video("five", source={"video_id": "s", "model": "kling-v1-6", "mode": "fast", "duration": 5}),
        video("six", extend={"steps": 2, "cfg_scale": 1.5}),
        video("seven", source={"branch_of": "eight", "hop": 1}, account=None),
        video("one"),
    ]
    run = Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", wrong))
    before = run.files()
    for verb in ("plan", "advance", "status", "pause", "resume", "publish"):
        result = run(verb)
        assert result.exit_code == 2, result.output
        lines = result.stderr.splitlines()
        assert len(lines) == 8, result.stderr
        assert all(line.startswith("catalog.yaml:") and line.split(":")[1].isdigit() for line in lines)
        for key in ("one", "two", "three", "four", "five", "six", "seven"):
            assert any(f"video {key}" in line for line in lines), key
        assert result.stdout == ""
    assert run.files() == before


def test_a_ledger_that_cannot_be_opened_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Cli(write_home(tmp_path / "home", "http://127.0.0.1:9", [video("one")]))
    url = "postgresql+psycopg://someone:hunter2-hunter2@127.0.0.1:9/none"
    monkeypatch.setenv("EXTEND_PIPELINE_LEDGER_URL", url)
    for verb in ("plan", "advance"):
        result = run(verb)
        assert result.exit_code == 2
        check_user_text(result.stderr)
        assert "hunter2" not in result.output


def test_a_crash_is_reported_without_any_secret_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_of = account("http://127.0.0.1:9", credentials={"api_key_env": "PLAIN_LOOKING_NAME"})
    home = write_home(tmp_path / "home", "", [video("one")], accounts=[entry_of])
    monkeypatch.setenv("PLAIN_LOOKING_NAME", "first-value-no-output-may-show")
    monkeypatch.setenv("SOME_API_TOKEN", "second-value-no-output-may-show")

    def broken() -> None:
        raise RuntimeError("failed: first-value-no-output-may-show, second-value-no-output-may-show \x1b[31m")

    monkeypatch.setattr("extend_pipeline.commands.plan.home_settings", broken)
    result = Cli(home)("plan")
    assert result.exit_code == 70
    check_user_text(line_with(result.stderr, "RuntimeError: "))
    assert "no-output-may-show" not in result.output
    assert "\x1b" not in result.output


def test_an_unknown_failpoint_is_wrong_use(tmp_path: Path) -> None:
    env = {**os.environ, "EXTEND_PIPELINE_FAILPOINTS": "submit.nowhere=kill"}
    command = [sys.executable, "-m", "extend_pipeline.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 2
    assert "submit.nowhere" in done.stderr


def test_ctrl_c_outside_of_work_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("extend_pipeline.commands.plan.home_settings", interrupted)
    assert CliRunner().invoke(cli, ["plan"]).exit_code == 130


def test_ctrl_c_while_the_program_is_imported_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt", encoding="utf-8")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["scripts"]["extend-pipeline"].partition(":")
    for words in (["-m", "extend_pipeline"], ["-c", f"from {module} import {function}; {function}()"]):
        command = [sys.executable, *words, "plan"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_init_writes_examples_that_load_and_never_overwrites(tmp_path: Path) -> None:
    run = Cli(tmp_path / "new" / "home")
    assert run.json("init")["written"] == ["catalog.yaml", "accounts.yaml", "dagster.yaml", ".gitignore"]
    assert run("plan").exit_code in (0, 1)  # the example's source has a date, and expires one day
    (run.home / "accounts.yaml").write_text("edited", encoding="utf-8")
    (run.home / "catalog.yaml").unlink()
    again = run.json("init")
    assert (again["written"], again["existing"]) == (["catalog.yaml"], ["accounts.yaml", "dagster.yaml", ".gitignore"])
    assert (run.home / "accounts.yaml").read_text(encoding="utf-8") == "edited"
    assert "/state/" in (run.home / ".gitignore").read_text(encoding="utf-8")
    first = (run.home / "catalog.yaml").read_text(encoding="utf-8").splitlines()[0]
    schema = run.home / first.removeprefix("# yaml-language-server: $schema=")
    assert json.loads(schema.read_text(encoding="utf-8")) == catalogue_schema(PROVIDERS)


def test_init_does_not_add_examples_to_a_catalogue_kept_as_csv(tmp_path: Path) -> None:
    (tmp_path / "catalog.csv").write_text("key,account\n", encoding="utf-8")
    result = Cli(tmp_path)("init")
    assert result.exit_code == 0
    check_user_text(result.stdout)
    assert not (tmp_path / "catalog.yaml").exists()


def test_init_does_not_add_examples_to_a_catalogue_of_many_files(tmp_path: Path) -> None:
    (tmp_path / "catalog" / "spring").mkdir(parents=True)
    for name in ("catalog/a.yaml", "catalog/spring/b.csv"):
        (tmp_path / name).write_text("key,account\n", encoding="utf-8")
    result = Cli(tmp_path)("init", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["existing"] == ["catalog"]
    assert not (tmp_path / "catalog.yaml").exists()


def test_init_where_nothing_can_be_written_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = Cli(tmp_path / "file" / "home")("init")
    assert result.exit_code == 2
    check_user_text(result.stderr)


def test_the_sandbox_runs_until_interrupted_and_prints_its_address(tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.json"
    seeds.write_text(json.dumps([{"video_id": "s", "duration": 5.0}]), encoding="utf-8")
    process = Cli(tmp_path / "home").start("sandbox", "--port", "0", "--seed-file", str(seeds))
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    while "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], "the sandbox ended before it was interrupted"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    check_user_text("".join(lines))
    assert (tmp_path / "home" / "state" / "sandbox").is_dir()


@pytest.mark.parametrize(
    "arguments", [["--seed-file", "/no/such/file"], ["--balance", "much"], ["--run-time", "5", "1"]]
)
def test_wrong_options_of_the_sandbox_are_wrong_use(tmp_path: Path, arguments: list[str]) -> None:
    result = Cli(tmp_path)("sandbox", "--port", "0", *arguments)
    assert result.exit_code == 2
    check_user_text(result.stderr)


def test_commands_of_the_map_are_click_commands() -> None:
    group = entry.cli
    assert isinstance(group, entry.LazyGroup)
    context = click.Context(group)
    assert all(isinstance(group.get_command(context, name), click.Command) for name in group.list_commands(context))
