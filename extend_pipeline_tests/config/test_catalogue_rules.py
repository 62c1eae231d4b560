"""Every rule of a catalogue entry: what is refused, in which field, with which message."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from extend_pipeline.config.model.catalogue import BranchSource
from extend_pipeline.providers.kling.models import KlingExtend, KlingSource
from extend_pipeline_tests.config.written import (
    entry,
    load,
    only_problem,
    problems_of,
    source,
    without_jargon,
    write_home,
)
from extend_pipeline_tests.support.user_texts import check_user_text

LONG = "x" * 2501


@pytest.mark.parametrize(
    ("extend", "field"),
    [
        ("{to: 181}", "extend.to"),
        ("{to: 5}", "extend.to"),
        ("{to: 5.1}", "extend.to"),
        ("{to: -1}", "extend.to"),
        ("{to: 1e2}", "extend.to"),
        ("{to: .inf}", "extend.to"),
        ("{to: nan}", "extend.to"),
        ("{to: 30, steps: 3}", "extend.steps"),
        ("{prompt: fog}", "extend.steps"),
        ("{steps: 0}", "extend.steps"),
        ("{steps: 2.5}", "extend.steps"),
        ("{steps: 2.0}", "extend.steps"),
        ("{steps: 46}", "extend.steps"),
        ("{steps: 35}", "extend.steps"),
        ("{to: 30, cfg_scale: 1.5}", "extend.cfg_scale"),
        ("{to: 30, cfg_scale: -0.1}", "extend.cfg_scale"),
        ("{to: 30, cfg_scale: .nan}", "extend.cfg_scale"),
        ("{to: 30, watermark: perhaps}", "extend.watermark"),
        (f"{{to: 30, prompt: {LONG}}}", "extend.prompt"),
        (f"{{to: 30, negative_prompt: {LONG}}}", "extend.negative_prompt"),
        (f"{{to: 30, prompts: [fog, {LONG}]}}", "extend.prompts.2"),
        ("{to: 30, prompts: [fog, null]}", "extend.prompts.2"),
        ("{to: 30, prompts: fog}", "extend.prompts"),
        ("{to: 30, prompts: []}", "extend.prompts"),
        ("{to: 30, prompt: fog, prompts: [fog]}", "extend.prompts"),
        ('{to: 30, prompt: "fog\\0"}', "extend.prompt"),
        ('{to: 30, prompt: "fog\\x1b[0m"}', "extend.prompt"),
        ('{to: 30, prompt: "  "}', "extend.prompt"),
        ("{to: 30, prompt: [fog]}", "extend.prompt"),
        ("{to: {seconds: 30}}", "extend.to"),
        ("{to: 30, expand_prompt: true}", "extend.expand_prompt"),
        ("[30]", "extend"),
    ],
)
def test_an_invalid_extend_is_refused(tmp_path: Path, extend: str, field: str) -> None:
    problem = only_problem(write_home(tmp_path, entry(extend=extend)))
    assert (problem.file, problem.line, problem.subject, problem.field) == ("catalog.yaml", 4, "one", field)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"video_id": None}, "source.video_id"),
        ({"video_id": "null"}, "source.video_id"),
        ({"video_id": '""'}, "source.video_id"),
        ({"video_id": '"8 2"'}, "source.video_id"),
        ({"video_id": "8.27942E+17"}, "source.video_id"),
        ({"model": "kling-v2-1"}, "source.model"),
        ({"model": "kling-v1-60"}, "source.model"),
        ({"mode": "ultra"}, "source.mode"),
        ({"mode": None}, "source.mode"),
        ({"duration": "181"}, "source.duration"),
        ({"duration": "0"}, "source.duration"),
        ({"duration": "0.0001"}, "source.duration"),
        ({"duration_ms": "5100"}, "source.duration_ms"),
        ({"created_at": "2026-11-01T08:00:00"}, "source.created_at"),
        ({"created_at": "yesterday"}, "source.created_at"),
        ({"created_at": "'0001-01-01T00:00:00+14:00'"}, "source.created_at"),
        ({"created_at": "2026-11-22T00:00:01Z"}, "source.created_at"),
        ({"url": "ftp://cdn.klingai.com/a.mp4"}, "source.url"),
        ({"url": "http://cdn.klingai.com/a.mp4"}, "source.url"),
        ({"url": "https://127.0.0.1/a.mp4"}, "source.url"),
        ({"task_id": "7"}, "source.task_id"),
    ],
)
def test_an_invalid_source_is_refused(tmp_path: Path, changes: dict[str, str | None], field: str) -> None:
    problem = only_problem(write_home(tmp_path, entry(source=source(**changes))))
    assert (problem.line, problem.subject, problem.field) == (3, "one", field)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


def test_the_model_error_names_the_three_models(tmp_path: Path) -> None:
    hint = only_problem(write_home(tmp_path, entry(source=source(model="kling-v2")))).hint
    assert all(model in hint for model in ("kling-v1-0", "kling-v1-5", "kling-v1-6"))


@pytest.mark.parametrize(
    ("written", "model"),
    [
        ("kling-v1", "kling-v1-0"),
        ("V1.0", "kling-v1-0"),
        ("1.0", "kling-v1-0"),
        ("v1.5", "kling-v1-5"),
        ("Kling V1.6", "kling-v1-6"),
        ("kling-v1.6", "kling-v1-6"),
        ("kling-v1-5", "kling-v1-5"),
    ],
)
def test_models_are_recognized_in_their_usual_spellings(tmp_path: Path, written: str, model: str) -> None:
    read = load(write_home(tmp_path, entry(source=source(model=written)))).catalogue.videos["one"].source
    assert isinstance(read, KlingSource)
    assert read.model == model


@pytest.mark.parametrize("model", ["kling-v1", "V1.0"])
def test_a_v1_0_source_takes_neither_negative_prompt_nor_cfg_scale_nor_do_its_branches(
    tmp_path: Path, model: str
) -> None:
    extras = "{to: 60, negative_prompt: text, cfg_scale: 0}"
    home = write_home(
        tmp_path,
        entry("root", source=source(model=model), extend=extras),
        entry("twig", source="{branch_of: root, hop: 1}", extend=extras, account=None),
        entry("leaf", source="{branch_of: twig, hop: 1}", extend=extras, account=None),
    )
    refused = [(problem.subject, problem.field) for problem in problems_of(home)]
    fields = ("extend.negative_prompt", "extend.cfg_scale")
    assert refused == [(key, field) for key in ("root", "twig", "leaf") for field in fields]


@pytest.mark.parametrize("key", [".", "..", ".hidden", "a b", "a/b", "x" * 65, "a:b", '"a\\nb"'])
def test_a_key_that_is_no_partition_key_is_refused(tmp_path: Path, key: str) -> None:
    problem = only_problem(write_home(tmp_path, entry(key)))
    assert (problem.line, problem.field) == (2, "key")
    assert problem.hint
    assert "\n" not in problem.text()


def test_prompts_are_counted_in_characters_not_bytes(tmp_path: Path) -> None:
    long = "霧" * 2500
    extend = load(write_home(tmp_path, entry(extend=f"{{to: 30, prompt: {long}}}"))).catalogue.videos["one"].extend
    assert extend.prompt == long


def test_a_source_older_than_thirty_days_is_left_to_the_planner(tmp_path: Path) -> None:
    read = load(write_home(tmp_path, entry(source=source(created_at="2025-01-01 08:00:00+08:00")))).catalogue.videos[
        "one"
    ]
    assert isinstance(read.source, KlingSource)
    assert read.source.created_at == datetime(2025, 1, 1, tzinfo=UTC)


def test_klings_milliseconds_are_a_point_in_time(tmp_path: Path) -> None:
    read = load(write_home(tmp_path, entry(source=source(created_at="1722769557708")))).catalogue.videos["one"].source
    assert isinstance(read, KlingSource)
    assert read.created_at == datetime(2024, 8, 4, 11, 5, 57, 708000, tzinfo=UTC)


def test_a_signed_address_is_not_repeated_in_an_error(tmp_path: Path) -> None:
    url = "http://cdn.klingai.com/a.mp4?signature=hush"
    problem = only_problem(write_home(tmp_path, entry(source=source(url=url))))
    assert "hush" not in problem.text()


def test_hop_params_have_only_the_fields_of_the_entry_and_the_last_prompt_repeats() -> None:
    extend = KlingExtend(steps=4, prompts=("a", "b"), cfg_scale=Decimal("0.50"), watermark=False)
    assert [extend.hop_params(hop)["prompt"] for hop in (1, 2, 3, 4)] == ["a", "b", "b", "b"]
    assert extend.hop_params(1) == {"prompt": "a", "cfg_scale": 0.5, "watermark": False}
    assert KlingExtend(to_ms=30_000).hop_params(1) == {}
    with pytest.raises(ValueError, match="hops"):
        extend.hop_params(0)


def test_a_video_has_exact_milliseconds_and_its_place_in_the_file(tmp_path: Path) -> None:
    read = load(write_home(tmp_path, entry("zero"), entry("one", extend="{to: 30.5, watermark: yes}"))).catalogue
    video = read.videos["one"]
    assert isinstance(video.source, KlingSource)
    assert (video.source.video_id, video.source.duration_ms) == ("827942411241803822", 5100)
    assert isinstance(video.extend, KlingExtend)
    assert (video.extend.to_ms, video.extend.watermark) == (30_500, True)
    assert (video.account, video.provider, video.file, video.line) == ("kling-main", "kling", "catalog.yaml", 6)
    assert list(read.videos) == ["zero", "one"]
    assert not isinstance(video.source, BranchSource)
