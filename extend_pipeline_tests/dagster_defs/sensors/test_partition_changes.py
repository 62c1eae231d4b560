"""What is to be added, removed and held back, without Dagster and without a ledger."""

from __future__ import annotations

import pytest

from extend_pipeline.dagster_defs.partition_changes import Changes, partition_changes
from extend_pipeline.ledger.read.declared_keys import DeclaredKey, InFlight
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write.catalog_sync import FEW


def videos(*keys: str) -> list[DeclaredKey]:
    """Return videos by their keys: `-a` is withdrawn, `a<b` was `b` first."""
    parts = [key.lstrip("-").partition("<") for key in keys]
    return [DeclaredKey(name, first or None, key[0] == "-") for key, (name, _, first) in zip(keys, parts, strict=True)]


def changed(existing: str, *keys: str, earlier: str = "", in_flight: str = "") -> Changes:
    """Return the changes of partitions of one letter each."""
    live = [InFlight(key, 1, AttemptState.SUBMITTED) for key in in_flight]
    return partition_changes(existing, videos(*keys), live, earlier=earlier)


@pytest.mark.parametrize(
    ("changes", "add", "remove"),
    [
        (changed("", "b", "a"), "ab", ""),
        (changed("ab", "a", "b"), "", ""),
        (changed("ab", "a", "-b"), "", "b"),
        (changed("a", "a", "-b"), "", ""),
        (changed("ab", "a", "-b", in_flight="b"), "", ""),
        (changed("a", "a", "-b", in_flight="b"), "b", ""),
        (changed("ah", "a"), "", ""),
        (changed("ab", "c<b", "a"), "c", "b"),
        (changed("ab", "c<x", "a", earlier="b"), "c", "b"),
        (changed("ab", "c<b", "b", "a"), "c", ""),
        (changed("ab", "-c<b", "a"), "", "b"),
    ],
    ids=[
        "new ones in the order of the keys",
        "in line",
        "withdrawn",
        "withdrawn and gone",
        "in flight",
        "in flight and removed by hand",
        "added by hand",
        "renamed",
        "renamed twice",
        "renamed, and the key is another video's now",
        "renamed and withdrawn",
    ],
)
def test_partitions_follow_the_videos(changes: Changes, add: str, remove: str) -> None:
    assert ("".join(changes.add), "".join(changes.remove), "".join(changes.held)) == (add, remove, "")


def test_an_empty_catalogue_holds_all_back_but_a_renamed_key() -> None:
    changes = changed("ab", "-c<b", "-a")
    assert (changes.add, changes.remove, changes.held) == ([], ["b"], ["a"])
    assert partition_changes("ab", videos("-a", "-b"), (), earlier="", remove_many=True).remove == ["a", "b"]


LEFT = [f"a{number:03}" for number in range(60)]
"""Videos that left the catalogue."""


@pytest.mark.parametrize(
    ("left", "stayed", "first_held", "held"),
    [
        (LEFT, 40, "", 60),
        (LEFT, 70, "", 0),
        (LEFT, 70, LEFT[0], 60),
        (LEFT[1:], 71, LEFT[0], 59),
        (LEFT[-FEW:], 120, LEFT[0], 0),
        ([LEFT[0]], 129, LEFT[0], 1),
        (LEFT[:FEW], 1, "", 0),
    ],
    ids=[
        "most of all",
        "not most of all",
        "held before",
        "held before, and the first is back",
        "held before, and few are left",
        "held before, and the first alone is left",
        "few may always go",
    ],
)
def test_what_is_held_back_stays_until_it_is_in_the_catalogue_again(
    left: list[str], stayed: int, first_held: str, held: int
) -> None:
    others = [f"b{number:03}" for number in range(stayed)]
    existing, known = [*left, *others], videos(*(f"-{key}" for key in left), *others)
    changes = partition_changes(existing, known, (), earlier=(), first_held=first_held)
    assert (len(changes.held), len(changes.remove)) == (held, len(left) - held)
    asked = partition_changes(existing, known, (), earlier=(), first_held=first_held, remove_many=True)
    assert (asked.held, len(asked.remove)) == ((), len(left))
