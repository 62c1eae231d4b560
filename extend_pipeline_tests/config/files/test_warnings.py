"""Notes: entries that are valid and still deserve a look before money is spent."""

from __future__ import annotations

from pathlib import Path

from extend_pipeline_tests.config.test_frames import png
from extend_pipeline_tests.config.written import account_of, entry, load, source, write_home
from extend_pipeline_tests.support.user_texts import check_user_text


def branch(key: str, of: str, hop: int, prompt: str) -> str:
    return entry(key, source=f"{{branch_of: {of}, hop: {hop}}}", extend=f"{{to: 90, prompt: {prompt}}}", account=None)


def test_videos_that_begin_with_the_same_extension_are_noted(tmp_path: Path) -> None:
    extends = ["{to: 30, prompt: fog}", "{steps: 2, prompts: [fog, rain]}", "{to: 60, prompt: rain}"]
    (note,) = load(write_home(tmp_path, *(entry(f"v{n}", extend=extend) for n, extend in enumerate(extends)))).notes
    check_user_text(note)


def test_other_parameters_and_other_sources_are_other_extensions(tmp_path: Path) -> None:
    read = load(
        write_home(
            tmp_path,
            entry("a", extend="{to: 30, prompt: fog}"),
            entry("b", extend="{to: 30, prompt: fog, cfg_scale: 0.6}"),
            entry("c", extend="{to: 30, prompt: fog}", source=source(video_id="8")),
            branch("d", "a", 1, "fog"),
            branch("e", "a", 2, "fog"),
        )
    )
    assert read.notes == ()


def test_branches_of_one_hop_are_noted_too_and_long_lists_are_cut(tmp_path: Path) -> None:
    branches = [branch(f"t{n}", "root", 2, "night") for n in range(6)]
    (note,) = load(write_home(tmp_path, entry("root"), *branches)).notes
    check_user_text(note)


def test_a_copy_of_an_image_is_the_same_image(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(16, 9))
    entries = [
        entry(
            name[0],
            source="{video_url: 'https://media.example.com/v.mp4'}",
            extend=f"{{to: 20, model: viduq2-pro, last_frame_url: {name}}}",
            account="vidu",
        )
        for name in ("a.png", "b.png")
    ]
    (note,) = load(write_home(tmp_path, *entries, accounts=account_of("vidu"))).notes
    check_user_text(note)
