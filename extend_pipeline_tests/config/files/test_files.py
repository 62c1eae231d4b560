"""The files themselves: exact text, syntax, encodings, anchors, and all mistakes at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from extend_pipeline.config.fields.ids import is_rounded_number
from extend_pipeline.config.files import yaml as files_yaml
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.load import load_accounts
from extend_pipeline.config.settings import Settings
from extend_pipeline.providers.kling.models import KlingSource
from extend_pipeline.providers.registry import PROVIDERS
from extend_pipeline_tests.config.written import (
    ACCOUNTS,
    SOURCE,
    entry,
    load,
    only_problem,
    problems_of,
    source,
    without_jargon,
    write_home,
)
from extend_pipeline_tests.support.user_texts import check_user_text

# what an id may hold: anything visible
IDS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp")),
    min_size=1,
    max_size=40,
)


def refusal_of(home: Path) -> ConfigError | None:
    """Return the refusal of a home, or None; any other error fails the test."""
    try:
        load(home)
    except ConfigError as error:
        return error
    return None


def video_id(home: Path, key: str = "one") -> str:
    read = load(home).catalogue.videos[key].source
    assert isinstance(read, KlingSource)
    return read.video_id


@pytest.mark.parametrize(
    "written",
    [
        "827942411241803822",
        "0123",
        "1e5",
        "007",
        "0x1F",
        "1_000",
        "v1.0",
        "12:30:45",
        "true",
        "2026-11-01",
        ".5",
        "9" * 40,
        "=",
        "no",
    ],
)
@pytest.mark.parametrize("quote", ["", '"', "'"])
def test_an_id_is_read_exactly_quoted_or_not(tmp_path: Path, written: str, quote: str) -> None:
    home = write_home(tmp_path, entry(source=source(video_id=f"{quote}{written}{quote}")))
    assert video_id(home) == written


def test_null_in_quotes_is_text_and_null_without_is_nothing(tmp_path: Path) -> None:
    assert video_id(write_home(tmp_path, entry(source=source(video_id='"null"', url="~")))) == "null"


def test_keys_that_look_like_numbers_keep_their_zeros(tmp_path: Path) -> None:
    assert list(load(write_home(tmp_path, entry("007"), entry("7"), entry("1e5"))).catalogue.videos) == [
        "007",
        "7",
        "1e5",
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(written=IDS.filter(lambda text: not is_rounded_number(text)))
@example(written="007")
@example(written="1e5")
@example(written="null")
@example(written="~")
@example(written="#x")
@example(written='"')
def test_any_id_survives_yaml_and_csv_exactly(tmp_path: Path, written: str) -> None:
    fields = {"video_id": written, "model": "v1.6", "mode": "std", "duration": "5"}
    fields_of_entry = {"key": "one", "account": "kling-main", "source": fields, "extend": {"to": "30"}}
    quoted = '"' + written.replace('"', '""') + '"'
    home = write_home(
        tmp_path,
        catalogue=yaml.safe_dump({"videos": [fields_of_entry]}, allow_unicode=True),
        table="key,account,source.video_id,source.model,source.mode,source.duration,extend.to\n"
        f"two,kling-main,{quoted},v1.6,std,5,30\n",
    )
    assert video_id(home, "one") == video_id(home, "two") == written


def test_nine_different_mistakes_are_reported_at_once_with_line_and_key(tmp_path: Path) -> None:
    home = write_home(
        tmp_path,
        entry("fine"),
        entry("too-far", extend="{to: 200}"),
        entry("too-strict", extend="{to: 30, cfg_scale: 1.5}"),
        entry("too-new", source=source(model="kling-v2-1")),
        entry("no-id", source=source(video_id=None)),
        entry("lost", account="kling-mian"),
        entry("orphan", source="{branch_of: nowhere, hop: 1}", account=None),
        entry("fine"),
        entry("typo", extend="{to: 30, promt: fog}"),
        accounts=ACCOUNTS.replace("per_day: 100", "per_day: -1"),
    )
    with pytest.raises(ConfigError) as caught:
        load(home)
    assert [(problem.line, problem.subject, problem.field) for problem in caught.value.problems] == [
        (6, "kling-main", "budget.per_day"),
        (8, "too-far", "extend.to"),
        (12, "too-strict", "extend.cfg_scale"),
        (15, "too-new", "source.model"),
        (19, "no-id", "source.video_id"),
        (25, "lost", "account"),
        (27, "orphan", "source.branch_of"),
        (29, "fine", "key"),
        (35, "typo", "extend.promt"),
    ]
    check_user_text(str(caught.value))


def test_all_mistakes_of_one_entry_are_reported(tmp_path: Path) -> None:
    bad = entry(source=source(model="x", mode="y", duration="z"), extend="{to: 999, steps: 0, cfg_scale: 2, what: 1}")
    assert {problem.field for problem in problems_of(write_home(tmp_path, bad))} >= {
        "source.model",
        "source.mode",
        "source.duration",
        "extend.to",
        "extend.steps",
        "extend.cfg_scale",
        "extend.what",
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("\n# nothing\n", 1),
        ("- a\n", 1),
        ("text\n", 1),
        ("clips: []\n", 1),
        ("x-mine: 1\n", 1),
        ("videos: {a: 1}\n", 1),
        ("videos:\n\t- key: a\n", 2),
        ("videos:\n  - key: 'a\n", 3),
        ("videos: []\n---\nvideos: []\n", 2),
        ("videos:\n  - *nowhere\n", 2),
        ("videos: &a\n  - *a\n", 2),
        ("videos:\n  - ? [a]\n    : b\n", 2),
        ("videos: []\nvideos: []\n", 2),
        ("videos: !!python/object:os.system []\n", 1),
        ("videos: []\n# \x07\n", 2),
        ("videos: " + "[" * 60 + "]" * 60, 1),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused_with_its_place(tmp_path: Path, text: str, line: int) -> None:
    problem = problems_of(write_home(tmp_path, catalogue=text))[0]
    assert (problem.file, problem.line) == ("catalog.yaml", line)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


def test_the_pure_python_parser_gives_the_same_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_yaml, "LOADER", yaml.SafeLoader)
    assert video_id(write_home(tmp_path / "good", entry(source=source(video_id="007", url="null")))) == "007"
    problem = only_problem(write_home(tmp_path / "bad", catalogue="videos: []\n# \x07\n"))
    assert problem.line == 2
    check_user_text(problem.text())


def test_a_field_that_is_written_twice_is_refused_with_its_video(tmp_path: Path) -> None:
    text = "videos:\n" + entry("first") + entry("one").replace("    extend:", "    key: other\n    extend:")
    problem = only_problem(write_home(tmp_path, catalogue=text))
    assert (problem.line, problem.subject, problem.field) == (8, "one", "key")


def test_files_are_utf_8_or_marked_utf_16_and_others_are_named_with_the_line(tmp_path: Path) -> None:
    latin = ("videos:\n" + entry()).encode() + b"# caf\xe9\n"
    problem = only_problem(write_home(tmp_path / "latin", catalogue=latin))
    assert problem.line == 6
    check_user_text(problem.text())
    wide = ("videos:\n" + entry()).encode("utf-16")
    assert video_id(write_home(tmp_path / "wide", catalogue=wide)) == "827942411241803822"
    for name, content in {"cut": wide[:-1], "unmarked": wide[2:]}.items():
        problem = only_problem(write_home(tmp_path / name, catalogue=content))
        assert "UTF-16" in problem.message


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    text = ("\ufeffvideos:\n" + entry()).replace("\n", "\r\n")
    assert video_id(write_home(tmp_path, catalogue=text)) == "827942411241803822"


def test_missing_files_are_reported_with_how_to_make_them(tmp_path: Path) -> None:
    problems = problems_of(tmp_path)
    assert [(problem.file, problem.line) for problem in problems] == [("accounts.yaml", None), ("catalog.yaml", None)]
    with pytest.raises(ConfigError) as caught:
        load_accounts(Settings.for_home(tmp_path), PROVIDERS)
    check_user_text(str(caught.value))


def test_a_misnamed_file_is_recognised(tmp_path: Path) -> None:
    home = write_home(tmp_path, entry())
    (home / "catalog.yaml").rename(home / "catalog.yml")
    check_user_text(only_problem(home).text())


def test_a_folder_in_place_of_a_file_is_a_problem(tmp_path: Path) -> None:
    home = write_home(tmp_path)
    (home / "catalog.yaml").mkdir()
    check_user_text(only_problem(home).text())


def test_missing_accounts_make_no_account_unknown(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, entry(), accounts=None))
    assert problem.file == "accounts.yaml"


def test_anchors_and_merge_keys_work_and_own_fields_win(tmp_path: Path) -> None:
    text = f"""\
x-defaults: &usual
  account: kling-main
  extend: {{to: 30, prompt: fog}}
x-source: &src {SOURCE}
videos:
  - key: one
    <<: *usual
    source: {{<<: *src, mode: pro}}
  - {{key: two, source: *src, <<: [*usual, {{extend: {{to: 9}}}}]}}
"""
    videos = load(write_home(tmp_path, catalogue=text)).catalogue.videos
    assert [video.extend.prompt for video in videos.values()] == ["fog", "fog"]
    modes = [video.source.mode for video in videos.values() if isinstance(video.source, KlingSource)]
    assert modes == ["pro", "std"]


def test_a_mistake_behind_an_anchor_is_reported_where_it_was_written(tmp_path: Path) -> None:
    text = f"""\
x-defaults: &usual
  cfg_scale: 7
videos:
  - key: one
    account: kling-main
    source: {SOURCE}
    extend: {{<<: *usual, to: 30}}
"""
    assert only_problem(write_home(tmp_path, catalogue=text)).line == 2


def test_aliases_that_multiply_cost_nothing(tmp_path: Path) -> None:
    lists = ["x-0: &a0 [x, x]"] + [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    started = time.monotonic()
    problems = problems_of(write_home(tmp_path, catalogue="\n".join(lists) + "\nvideos: *a29\n"))
    assert time.monotonic() - started < 5
    assert len(problems) == 10
    assert {problem.file for problem in problems} == {"catalog.yaml"}
    for problem in problems:
        check_user_text(problem.text())


def test_an_empty_list_of_videos_is_a_catalogue(tmp_path: Path) -> None:
    assert not load(write_home(tmp_path, catalogue="videos:\n")).catalogue.videos


_leaf = st.none() | st.text(max_size=8) | st.sampled_from(["kling", "kling-main", "1", "30", "std", "v1.0", "one"])
_names = st.sampled_from(
    [
        *("videos", "accounts", "key", "name", "account", "provider", "source", "extend", "branch_of", "hop", "to"),
        *("steps", "prompts", "price", "per_extension", "poll", "credentials", "base_url", "budget", "x-a", "<<"),
        *("download_hosts", "model", "mode", "duration", "created_at", "url"),
    ]
)
_trees = st.recursive(
    _leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=6), max_leaves=20
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(videos=_trees, accounts=_trees, wrap=st.booleans())
def test_any_structure_is_read_or_refused_without_jargon(
    tmp_path: Path, videos: object, accounts: object, wrap: bool
) -> None:
    home = write_home(
        tmp_path,
        catalogue=yaml.safe_dump({"videos": [videos]} if wrap else videos),
        accounts=yaml.safe_dump({"accounts": [accounts]} if wrap else accounts),
    )
    refusal = refusal_of(home)
    assert refusal is None or (refusal.problems and without_jargon(str(refusal)))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    raw=st.binary(max_size=200)
    | st.text("{}[]:,-&*!|>'\"%@`#?~ \n\tabk<\ud7ff\x85\u2028", max_size=80).map(lambda text: text.encode())
)
@example(raw=b"[" * 100_000)
@example(raw=b"{" * 100_000)
@example(raw=b"- " * 100_000)
@example(raw=b'videos: ["\\ud800"]')
@example(raw=b"%YAML 3.0\n---\nvideos: []")
def test_any_bytes_are_read_or_refused_with_a_message(tmp_path: Path, raw: bytes) -> None:
    home = write_home(tmp_path, catalogue=raw)
    (home / "catalog.csv").write_bytes(raw)
    (home / "accounts.yaml").write_bytes(raw)
    refusal = refusal_of(home)
    assert refusal is None or refusal.problems
    assert refusal is None or all("\n" not in problem.text() for problem in refusal.problems)


def test_ten_thousand_entries_load_in_seconds_valid_or_not(tmp_path: Path) -> None:
    roots = [entry(f"v{n}") for n in range(5000)]
    chain = [entry(f"b{n}", source=f"{{branch_of: v{n}, hop: 1}}", account=None) for n in range(4000)]
    lost = [entry(f"x{n}", source=f"{{branch_of: w{n}, hop: 1}}", account=f"kling-{n}") for n in range(1000)]
    started = time.monotonic()
    assert len(load(write_home(tmp_path / "good", *roots, *chain)).catalogue.videos) == 9000
    between = time.monotonic()
    assert len(problems_of(write_home(tmp_path / "bad", *roots, *chain, *lost))) == 2000
    assert between - started < 20
    assert time.monotonic() - between < 30


def test_an_empty_file_beside_another_of_the_catalogue_names_no_example(tmp_path: Path) -> None:
    home = write_home(tmp_path, entry(), table="")
    (home / "catalog").mkdir()
    (home / "catalog" / "e.yaml").write_text("# nothing yet\n")
    problems = problems_of(home)
    assert [problem.file for problem in problems] == ["catalog.csv", "catalog/e.yaml"]
    for problem in problems:
        check_user_text(problem.text())


@pytest.mark.parametrize("name", ["catalog.yaml", "accounts.yaml"])
@pytest.mark.parametrize(
    ("end", "line"), [("<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> spring\n", 1), ("a: 1\n" + "\0" * 512, 2)]
)
def test_a_merge_conflict_and_a_tail_that_was_not_written_are_named(
    end: str, line: int, name: str, tmp_path: Path
) -> None:
    home = write_home(tmp_path, entry())
    before = (home / name).read_text()
    (home / name).write_text(before + end)
    problem = only_problem(home)
    assert (problem.file, problem.line) == (name, before.count("\n") + line)
    check_user_text(problem.text())


def test_a_file_full_of_nul_bytes_was_not_written(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, catalogue=bytes(200)))
    assert (problem.file, problem.line) == ("catalog.yaml", 1)
    check_user_text(problem.text())
