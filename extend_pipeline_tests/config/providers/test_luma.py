"""Luma through a reseller: a prompt for every hop, images, accounts."""

from __future__ import annotations

from pathlib import Path

import pytest

from extend_pipeline.providers.luma.models import LumaAccount, LumaSource
from extend_pipeline.providers.registry import spec_of
from extend_pipeline_tests.config.test_frames import data_uri, png
from extend_pipeline_tests.config.written import (
    CREDIT,
    account_of,
    entry,
    load,
    only_problem,
    problems_of,
    without_jargon,
    write_home,
)
from extend_pipeline_tests.support.user_texts import check_user_text

TASK = "4665a07c-7641-4809-a133-10786201bb56"


def home(
    folder: Path,
    *lines: str,
    source: str = f"{{task_id: {TASK}}}",
    extend: str = "{steps: 3, prompt: add cat}",
    price: str | None = CREDIT,
) -> Path:
    """Write a home with one video on one Luma account."""
    fields = lines if price is None else (price, *lines)
    return write_home(folder, entry(source=source, extend=extend, account="luma"), accounts=account_of("luma", *fields))


def test_a_video_is_a_generation_and_sends_only_the_written_fields(tmp_path: Path) -> None:
    extend = '{steps: 3, prompts: ["add cat", "it jumps"], expand_prompt: yes}'
    video = load(home(tmp_path, extend=extend)).catalogue.videos["one"]
    assert isinstance(video.source, LumaSource)
    assert (video.source.source_id, video.source.duration_ms) == (TASK, None)
    assert (video.source.mode, video.source.created_at) == (None, None)
    assert video.extend.hop_params(1) == {"prompt": "add cat", "expand_prompt": True}
    assert video.extend.hop_params(3) == {"prompt": "it jumps", "expand_prompt": True}


def test_images_may_be_addresses_or_data_uris(tmp_path: Path) -> None:
    uri = data_uri(png(16, 9))
    extend = f"{{to: 300, prompt: x, image_url: 'https://a.example.com/i.png?s=1', image_end_url: '{uri}'}}"
    params = load(home(tmp_path, extend=extend)).catalogue.videos["one"].extend.hop_params(1)
    assert params == {"prompt": "x", "image_url": "https://a.example.com/i.png?s=1", "image_end_url": uri}


def test_an_account_has_its_defaults(tmp_path: Path) -> None:
    account = load(home(tmp_path)).accounts["luma"]
    assert isinstance(account, LumaAccount)
    assert (account.batch_query, account.output, account.submit_class) == (False, "unknown", "C")
    assert (account.poll.first_after_s, account.poll.every_s) == (30, 10)
    assert (
        account.price.quote(spec_of("luma").price_key(None, {"prompt": "x"})) == account.price.quote(None) == 4_000_000
    )


def test_a_missing_prompt_is_reported_beside_all_other_mistakes(tmp_path: Path) -> None:
    problem = only_problem(home(tmp_path / "alone", extend="{steps: 3}"))
    assert (problem.line, problem.subject, problem.field) == (4, "one", "extend.prompt")
    check_user_text(problem.text())
    problems = problems_of(home(tmp_path / "both", extend="{steps: 0, expand_prompt: maybe}"))
    assert [problem.field for problem in problems] == ["extend.steps", "extend.prompt", "extend.expand_prompt"]


def test_a_prompt_that_can_not_be_read_is_not_called_missing_too(tmp_path: Path) -> None:
    problem = only_problem(home(tmp_path, extend='{steps: 3, prompt: " "}'))
    assert (problem.field, problem.message) == ("extend.prompt", "is blank")


@pytest.mark.parametrize(
    ("extend", "field"),
    [
        ("{steps: 3, prompts: []}", "extend.prompts"),
        ("{steps: 3, prompts: [a, ' ']}", "extend.prompts.2"),
        ("{steps: 3, prompt: a, prompts: [b]}", "extend.prompts"),
        ("{steps: 1001, prompt: a}", "extend.steps"),
        ("{to: 5, prompt: a}", "extend.to"),
        ("{to: 30, prompt: a, expand_prompt: perhaps}", "extend.expand_prompt"),
        ("{to: 30, prompt: a, image_url: cat.png}", "extend.image_url"),
        ("{to: 30, prompt: a, image_url: 'data:image/png,x'}", "extend.image_url"),
        ("{to: 30, prompt: a, image_url: 'http://10.0.0.8/a.png'}", "extend.image_url"),
        ("{to: 30, prompt: a, image_end_url: 'http://nas/a.png'}", "extend.image_end_url"),
        ("{to: 30, prompt: a, watermark: false}", "extend.watermark"),
        ("{to: 30, prompt: a, seconds: 5}", "extend.seconds"),
    ],
)
def test_an_invalid_extend_is_refused(tmp_path: Path, extend: str, field: str) -> None:
    problem = only_problem(home(tmp_path, source=f"{{task_id: {TASK}, duration: 5}}", extend=extend))
    assert (problem.line, problem.subject, problem.field) == (4, "one", field)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


def test_no_length_is_too_long(tmp_path: Path) -> None:
    assert load(home(tmp_path, extend="{to: 3600, prompt: a}")).catalogue.videos["one"].extend.to_ms == 3_600_000


def test_fields_of_other_providers_are_refused_with_their_owners(tmp_path: Path) -> None:
    path = home(tmp_path, source=f"{{task_id: {TASK}, mode: std}}", extend="{to: 9, prompt: a, last_frame_url: x}")
    problems = problems_of(path)
    assert [problem.field for problem in problems] == ["source.mode", "extend.last_frame_url"]
    for problem in problems:
        check_user_text(problem.text())


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("batch_query: perhaps", "batch_query"),
        ("output: half", "output"),
        ("submit_class: A", "submit_class"),
        ("public_media_url: https://a.example.com", "public_media_url"),
    ],
)
def test_an_invalid_account_is_refused(tmp_path: Path, line: str, field: str) -> None:
    problem = only_problem(home(tmp_path, line))
    assert (problem.file, problem.subject, problem.field) == ("accounts.yaml", "luma", field)
    check_user_text(problem.text())
    assert without_jargon(problem.text())


def test_a_price_is_needed_and_is_one_number(tmp_path: Path) -> None:
    missing = only_problem(home(tmp_path / "none", price=None))
    check_user_text(missing.text())
    problem = only_problem(home(tmp_path / "modes", price=CREDIT.replace("4", "{std: 4}")))
    assert problem.field == "price.per_extension.std"
    check_user_text(problem.text())


def test_the_registry_has_no_limit_for_luma() -> None:
    luma = spec_of("luma")
    assert (luma.longest_ms, luma.source_life_ms, luma.source_range_ms, luma.modes) == (None, None, None, ())
    assert luma.result_life_ms == 86_400_000
    least_ms, most_ms = luma.added_ms(None)
    assert least_ms <= 5_000 <= most_ms
