"""catalog.csv: the same videos as YAML, from a sheet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from extend_pipeline.config.model.catalogue import BranchSource
from extend_pipeline_tests.config.written import entry, load, only_problem, problems_of, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

HEADER = "key,account,source.video_id,source.model,source.mode,source.duration,extend.to"
ROW = "one,kling-main,827942411241803822,kling-v1-6,std,5.1,30"


def test_a_row_is_the_same_video_as_an_entry(tmp_path: Path) -> None:
    table = (
        "\ufeffkey,account,source.video_id,source.model,source.mode,source.duration,source.created_at,branch_of,hop,"
        "extend.to,extend.steps,extend.prompt,extend.prompts,extend.negative_prompt,extend.cfg_scale,extend.watermark\r\n"
        'a,kling-main,0070,kling-v1-6,std,5.1,2026-11-01T08:00:00Z,,,30,,"the ""fog""\r\nlifts",,text,0.50,no\r\n'
        "b,,,,,,,a,3,,2,,one|two | three,,,\r\n"
        'c,kling-main,1e5,v1.5,pro,5,,,,,3,,"[""a|b"", ""c""]",,,\r\n'
    )
    entries = (
        entry(
            "a",
            source="{video_id: 0070, model: kling-v1-6, mode: std, duration: 5.1, created_at: 2026-11-01T08:00:00Z}",
            extend='{to: 30, watermark: no, prompt: "the \\"fog\\"\\r\\nlifts", negative_prompt: text, cfg_scale: 0.5}',
        ),
        entry("b", source="{branch_of: a, hop: 3}", extend="{steps: 2, prompts: [one, two, three]}", account=None),
        entry(
            "c",
            source="{video_id: 1e5, model: v1.5, mode: pro, duration: 5}",
            extend='{steps: 3, prompts: ["a|b", c]}',
        ),
    )
    from_table = load(write_home(tmp_path / "csv", table=table)).catalogue
    from_yaml = load(write_home(tmp_path / "yaml", *entries)).catalogue
    assert [video.line for video in from_table.videos.values()] == [2, 4, 5]
    assert from_table.path.name == "catalog.csv"
    plain = {key: replace(video, file="", line=0) for key, video in from_table.videos.items()}
    assert plain == {key: replace(video, file="", line=0) for key, video in from_yaml.videos.items()}


def test_dotted_branch_columns_work_as_well(tmp_path: Path) -> None:
    table = f"{HEADER},source.branch_of,source.hop\n{ROW},,\ntwo,,,,,,60,one,1\n"
    assert load(write_home(tmp_path, table=table)).catalogue.videos["two"].source == BranchSource(
        branch_of="one", hop=1
    )


def test_yaml_and_csv_are_read_together_and_share_their_keys(tmp_path: Path) -> None:
    read_together = load(write_home(tmp_path / "good", entry("zero"), table=f"{HEADER}\n{ROW}\n"))
    assert [(video.key, video.file) for video in read_together.catalogue.videos.values()] == [
        ("zero", "catalog.yaml"),
        ("one", "catalog.csv"),
    ]
    problem = only_problem(write_home(tmp_path / "bad", entry("one"), table=f"{HEADER}\n{ROW}\n"))
    check_user_text(problem.text())


@pytest.mark.parametrize("separator", [";", "\t"])
def test_semicolons_and_tabs_separate_too(tmp_path: Path, separator: str) -> None:
    table = f"{HEADER}\n{ROW}\n".replace(",", separator)
    assert list(load(write_home(tmp_path, table=table)).catalogue.videos) == ["one"]


@pytest.mark.parametrize("start", ["sep=;\n", '\ufeff"sep=;"\r\n', "\n"])
def test_a_sheet_saved_with_decimal_commas_is_read(tmp_path: Path, start: str) -> None:
    columns = "KEY;Account;Source.Video ID;source.model;source . mode;Source.Duration;source.created-at;extend.to"
    table = f"{start}{columns}\none;kling-main;827942411241803822;kling-v1-6;std;5,1;1.11.2026;30,5\n"
    plain = f"{HEADER},source.created_at\n{ROW}.5,2026-11-01\n"
    [video] = load(write_home(tmp_path / "saved", table=table)).catalogue.videos.values()
    [same] = load(write_home(tmp_path / "plain", table=plain)).catalogue.videos.values()
    assert replace(video, line=same.line) == same
    assert video.line == 2 + table[: table.index("one;")].count("\n") - 1


def test_unicode_text_of_a_spreadsheet_is_utf_16_with_tabs(tmp_path: Path) -> None:
    table = f"{HEADER},extend.prompt\n{ROW},雾散了\n".replace(",", "\t").replace("5.1", "5,1").encode("utf-16")
    home = write_home(tmp_path, table="")
    (home / "catalog.csv").write_bytes(table)
    [video] = load(home).catalogue.videos.values()
    assert video.extend.prompt == "雾散了"


@pytest.mark.parametrize("cell", ["1,250", "5,1,2"])
def test_a_comma_with_two_meanings_is_refused_with_both(tmp_path: Path, cell: str) -> None:
    table = f"{HEADER}\n{ROW}\n".replace(",", ";").replace("5.1", cell)
    problem = only_problem(write_home(tmp_path, table=table))
    assert (problem.line, problem.subject, problem.field, problem.given) == (2, "one", "source.duration", cell)
    check_user_text(problem.text())


@pytest.mark.parametrize(("cell", "ms"), [("5.041", 5_041), ("10.041", 10_041), ("5,1", 5_100), ("5,0410", 5_041)])
def test_a_point_with_one_meaning_is_accepted(tmp_path: Path, cell: str, ms: int) -> None:
    table = f"{HEADER}\n{ROW}\n".replace(",", ";").replace("5.1", cell)
    (video,) = load(write_home(tmp_path, table=table)).catalogue.videos.values()
    assert video.source.duration_ms == ms


def test_a_point_that_may_separate_thousands_is_refused(tmp_path: Path) -> None:
    table = f"{HEADER},extend.at_most\n{ROW},1.500\n".replace(",", ";")
    assert only_problem(write_home(tmp_path, table=table)).field == "extend.at_most"


def test_a_comma_is_no_decimal_sign_where_commas_separate(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, table=f"{HEADER}\n{ROW}\n".replace("5.1", '"5,1"')))
    assert (problem.field, problem.given) == ("source.duration", "5,1")


@pytest.mark.parametrize(
    ("table", "line", "subject", "field"),
    [
        (f"{HEADER},extend.promt\n{ROW},x\n", 1, None, "extend.promt"),
        (f"{HEADER},Extend.Promt Text\n{ROW},x\n", 1, None, "Extend.Promt Text"),
        (f"{HEADER},extend.to\n{ROW},31\n", 1, None, "extend.to"),
        (f"{HEADER},branch_of,source.branch_of\n{ROW},,\n", 1, None, "source.branch_of"),
        (f"{HEADER}\n{ROW},left over\n", 2, "one", None),
        (f"{HEADER}\n\n,,,\n{ROW[:-2]}999\n", 4, "one", "extend.to"),
        (f"{HEADER}\n{ROW[:-3]}\n", 2, "one", "extend.steps"),
        (f'{HEADER}\n{ROW}\n"two,kling-main\n', 3, None, None),
        (f'{HEADER},extend.prompts\n{ROW},"[""a"", ""b"""\n', 2, "one", "extend.prompts"),
        (f'{HEADER},extend.prompts\n{ROW},"[1, [2]]"\n', 2, "one", "extend.prompts"),
        (f"{HEADER},extend.prompts\n{ROW},a||b\n", 2, "one", "extend.prompts.2"),
        (
            f"{HEADER}\n{ROW}\n".replace("827942411241803822", "8.27942E+17"),
            2,
            "one",
            "source.video_id",
        ),
        ("  \n", 1, None, None),
    ],
)
def test_a_table_that_is_no_catalogue_is_refused_with_its_place(
    tmp_path: Path, *, table: str, line: int, subject: str | None, field: str | None
) -> None:
    problem = only_problem(write_home(tmp_path, table=table))
    assert (problem.file, problem.line, problem.subject, problem.field) == ("catalog.csv", line, subject, field)
    check_user_text(problem.text())


@pytest.mark.parametrize(
    ("table", "fields"),
    [("a,b\n1,2\n", ["a", "b", "key"]), (f"{HEADER}\n{ROW}\n".replace(",", "|"), [HEADER.replace(",", "|"), "key"])],
)
def test_a_table_without_a_key_column_is_refused_at_line_1_alone(table: str, fields: list[str], tmp_path: Path) -> None:
    problems = problems_of(write_home(tmp_path, table=table))
    assert [(problem.line, problem.field) for problem in problems] == [(1, field) for field in fields]


CONFLICT = "<<<<<<< HEAD{end}{row}{end}=======\n{row}{end}>>>>>>> spring{end}"


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (f"{HEADER}\n{CONFLICT.format(row=ROW, end=chr(10))}", 2),
        (f"{HEADER}\r\n{CONFLICT.format(row=ROW, end=chr(13) + chr(10))}", 2),
        (CONFLICT.format(row=f"{HEADER}\n{ROW}", end="\n"), 1),
        (f'{HEADER},extend.prompt\n{ROW},"the fog\n{CONFLICT.format(row="lifts", end=chr(10))}"\n', 3),
        (f"{HEADER}\n{ROW}\n>>>>>>>\n", 3),
    ],
)
def test_a_merge_conflict_that_is_left_is_one_mistake(table: str, line: int, tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, table=table))
    assert (problem.file, problem.line, problem.subject) == ("catalog.csv", line, None)
    check_user_text(problem.text())


def test_signs_that_only_look_like_a_merge_conflict_are_text(tmp_path: Path) -> None:
    prompt = "<<<<<<<< fog\n=======\n ======= of rain\n>>>>>> lifts >>>>>>>"
    table = f'{HEADER},extend.prompt\n{ROW},"{prompt}"\n'
    assert load(write_home(tmp_path, table=table)).catalogue.videos["one"].extend.prompt == prompt


def test_a_tail_of_nul_bytes_is_one_mistake_with_its_line(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, table=f"{HEADER}\n{ROW}\n" + "\0" * 4096))
    assert (problem.file, problem.line, problem.subject) == ("catalog.csv", 3, None)
    check_user_text(problem.text())


@pytest.mark.parametrize(
    "raw", [b"PK\x03\x04\x14\0\x06\0[Content_Types].xml\xff", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0"]
)
def test_a_workbook_under_the_name_of_a_table_is_one_mistake(raw: bytes, tmp_path: Path) -> None:
    home = write_home(tmp_path, table="")
    (home / "catalog.csv").write_bytes(raw)
    problem = only_problem(home)
    assert (problem.file, problem.line) == ("catalog.csv", None)
    check_user_text(problem.text())
