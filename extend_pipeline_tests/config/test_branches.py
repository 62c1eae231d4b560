"""Branches: whose account, which hop, how long, and no circles."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.config.checks.branches import topological_order
from extend_pipeline.config.model.catalogue import root_source
from extend_pipeline_tests.config.written import ACCOUNTS, entry, load, only_problem, problems_of, source, write_home
from extend_pipeline_tests.support.user_texts import check_user_text

SECOND = ACCOUNTS + ACCOUNTS.replace("accounts:\n", "").replace("kling-main", "kling-other")


def branch(key: str, of: str, hop: int | str = 1, *, extend: str = "{to: 60}", account: str | None = None) -> str:
    return entry(key, source=f"{{branch_of: {of}, hop: {hop}}}", extend=extend, account=account)


def test_a_branch_takes_its_parents_account_wherever_it_stands_in_the_file(tmp_path: Path) -> None:
    read = load(write_home(tmp_path, branch("leaf", "twig"), branch("twig", "root"), entry("root")))
    assert [(video.key, video.account) for video in read.catalogue.videos.values()] == [
        ("leaf", "kling-main"),
        ("twig", "kling-main"),
        ("root", "kling-main"),
    ]
    videos = read.catalogue.videos
    assert root_source(videos["leaf"], videos) == root_source(videos["twig"], videos) == videos["root"].source
    assert read.account_of("leaf").name == read.account_of(read.catalogue.videos["root"]).name == "kling-main"


def test_a_branch_may_name_its_parents_account_but_no_other(tmp_path: Path) -> None:
    same = branch("same", "root", account="kling-main")
    second_account = branch("other", "root", account="kling-other")
    problem = only_problem(write_home(tmp_path, entry("root"), same, second_account, accounts=SECOND))
    assert (problem.subject, problem.field, problem.given) == ("other", "account", "kling-other")
    check_user_text(problem.text())


def test_a_branch_of_an_unknown_video_suggests_the_nearest(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, entry("harbour-dawn"), branch("night", "harbor-dawn")))
    assert (problem.subject, problem.field) == ("night", "source.branch_of")
    check_user_text(problem.text())


def test_branches_that_run_in_a_circle_are_reported_once(tmp_path: Path) -> None:
    home = write_home(tmp_path, branch("a", "b"), branch("b", "c"), branch("c", "a"), branch("below", "a"))
    problem = only_problem(home)
    assert problem.subject == "a"
    check_user_text(problem.text())


def test_a_video_that_branches_off_itself_is_a_circle(tmp_path: Path) -> None:
    problem = only_problem(write_home(tmp_path, branch("a", "a")))
    assert (problem.subject, problem.field) == ("a", "source.branch_of")
    check_user_text(problem.text())


def test_a_hop_that_the_parent_will_never_have_is_refused(tmp_path: Path) -> None:
    root = entry("root", extend="{steps: 3}")
    assert load(write_home(tmp_path / "good", root, branch("b", "root", 3)))
    problem = only_problem(write_home(tmp_path / "bad", root, branch("b", "root", 4)))
    assert (problem.field, problem.given) == ("source.hop", "4")
    check_user_text(problem.text())


def test_hop_zero_and_a_missing_hop_are_refused(tmp_path: Path) -> None:
    assert "is below 1" in only_problem(write_home(tmp_path / "zero", entry("root"), branch("b", "root", 0))).message
    missing = entry("b", source="{branch_of: root}", account=None)
    problem = only_problem(write_home(tmp_path / "none", entry("root"), missing))
    assert (problem.field, problem.message) == ("source.hop", "is missing")


def test_the_source_of_a_branch_is_as_long_as_its_hop(tmp_path: Path) -> None:
    # after hop 2 a video of 5.1 s lasts 13.1 to 15.1 s: 13 can't be a target, 14 may be one, 33 steps may pass 180 s
    home = write_home(
        tmp_path,
        entry("root", extend="{to: 60}"),
        branch("short", "root", 2, extend="{to: 13}"),
        branch("unsure", "root", 2, extend="{to: 14}"),
        branch("fits", "root", 2, extend="{steps: 32}"),
        branch("long", "root", 2, extend="{steps: 33}"),
    )
    assert [(problem.subject, problem.field) for problem in problems_of(home)] == [
        ("short", "extend.to"),
        ("long", "extend.steps"),
    ]


def test_a_broken_parent_does_not_hide_its_branch(tmp_path: Path) -> None:
    home = write_home(tmp_path, entry("root", source=source(model="kling-v9")), branch("b", "root", extend="{to: 999}"))
    assert [(problem.subject, problem.field) for problem in problems_of(home)] == [
        ("root", "source.model"),
        ("b", "extend.to"),
    ]


@given(st.dictionaries(st.integers(0, 12).map(str), st.none() | st.integers(0, 14).map(str), max_size=13))
def test_every_key_is_ordered_or_leads_to_a_circle_or_to_an_unknown_key(parents: dict[str, str | None]) -> None:
    forest = topological_order(parents)
    assert len(set(forest.order)) == len(forest.order)
    for position, key in enumerate(forest.order):
        parent = parents[key]
        assert parent is None or parent in forest.order[:position]
    circling = {key for circle in forest.circles for key in circle}
    assert len(circling) == sum(map(len, forest.circles))
    for key in parents:
        at: str | None = key
        seen = set()
        while at is not None and at in parents and at not in seen:
            seen.add(at)
            at = parents[at]
        assert (key in forest.order) == (at is None)
        assert (at in circling) == (at is not None and at in seen)
