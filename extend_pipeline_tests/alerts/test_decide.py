"""What is sent when: a pure function of what waits, what was reported, and the clock."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from extend_pipeline.alerts.decide import GAP_S, URGENT_GAP_S, Decision, Kind, Reported, decide
from extend_pipeline.alerts.marks import MAX_MARKS, mark_of

DAY_S = 86_400
NOW_S = 1_795_000_000
NEW = Reported()


def at(now_s: int, waiting: Iterable[str], before: Reported = NEW, *, failed: bool = False, **how: bool) -> Decision:
    """Decide; things with `!` at their end are urgent."""
    things = {name.removesuffix("!"): name.endswith("!") for name in waiting}
    return decide(things, before, now_s=now_s, again_after_s=DAY_S, failed_runs=failed, **how)


def test_nothing_is_sent_where_nothing_waits_and_nothing_was_reported() -> None:
    assert at(NOW_S, []) == Decision(after=NEW)


def test_each_thing_is_reported_once_and_again_after_a_day_and_at_the_end() -> None:
    first = at(NOW_S, ["a", "b"])
    assert (first.kind, first.listed, first.new) == (Kind.ALERT, {"a", "b"}, {"a", "b"})
    for later_s in (60, GAP_S, DAY_S - 1):
        assert at(NOW_S + later_s, ["a", "b"], first.after).kind is None
    second = at(NOW_S + DAY_S, ["a", "b"], first.after)
    assert (second.kind, second.listed, second.new) == (Kind.REMINDER, {"a", "b"}, set())
    assert at(NOW_S + DAY_S + 60, ["a", "b"], second.after).kind is None
    end = at(NOW_S + DAY_S + GAP_S, [], second.after)
    assert (end.kind, end.listed) == (Kind.ALL_CLEAR, set())
    assert at(NOW_S + DAY_S + 2 * GAP_S, [], end.after).kind is None


def test_a_failed_run_comes_before_the_all_clear_and_not_with_it() -> None:
    before = at(NOW_S, ["a"]).after
    failed = at(NOW_S + GAP_S, [], before, failed=True)
    assert (failed.kind, failed.listed) == (Kind.ALERT, frozenset())
    assert at(NOW_S + GAP_S + 60, [], failed.after).kind is None
    end = at(NOW_S + 2 * GAP_S, [], failed.after)
    assert end.kind is Kind.ALL_CLEAR
    assert at(NOW_S + 3 * GAP_S, [], end.after).kind is None


def test_what_comes_and_goes_is_one_alert_and_one_all_clear() -> None:
    state, kinds = NEW, []
    for minute in range(60):
        decision = at(NOW_S + 60 * minute, ["a!"] if minute % 2 == 0 and minute < 40 else [], state)
        state = decision.after
        if decision.kind is not None:
            kinds.append((minute, decision.kind))
    assert kinds[0] == (0, Kind.ALERT)
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(kinds)]
    assert min(gap for gap, (_, kind) in zip(gaps, kinds[1:], strict=True) if kind is Kind.ALL_CLEAR) * 60 >= GAP_S
    assert len(kinds) <= 10
    assert kinds[-1][1] is Kind.ALL_CLEAR


def test_only_what_is_new_is_listed_and_reminders_list_all_of_it() -> None:
    first = at(NOW_S, ["a"])
    second = at(NOW_S + GAP_S, ["a", "b"], first.after)
    assert (second.kind, second.listed) == (Kind.ALERT, {"b"})
    assert at(NOW_S + DAY_S, ["a", "b"], second.after).listed == {"a", "b"}
    # something new at the time of a reminder: one message for both
    both = at(NOW_S + DAY_S, ["a", "b", "c"], second.after)
    assert (both.kind, both.listed, both.new) == (Kind.ALERT, {"a", "b", "c"}, {"c"})
    assert at(NOW_S + DAY_S + GAP_S, ["a", "b", "c"], both.after).kind is None


def test_a_thing_that_became_urgent_is_reported_again_and_at_once() -> None:
    before = at(NOW_S, ["a", "b"]).after
    later = at(NOW_S + URGENT_GAP_S, ["a!", "b"], before)
    assert (later.kind, later.listed) == (Kind.ALERT, {"a"})
    assert at(NOW_S + 2 * GAP_S, ["a!", "b"], later.after).kind is None
    assert at(NOW_S + 2 * GAP_S, ["a", "b"], later.after).kind is None


def test_what_fails_one_by_one_is_gathered_and_what_is_urgent_is_not() -> None:
    before = at(NOW_S, ["a"]).after
    early = at(NOW_S + GAP_S - 1, ["a", "b"], before)
    assert early.kind is None
    assert at(NOW_S + GAP_S, ["a", "b", "c"], early.after).listed == {"b", "c"}
    assert at(NOW_S + URGENT_GAP_S, ["a", "b", "c!"], early.after).listed == {"b", "c"}
    assert at(NOW_S + URGENT_GAP_S - 1, ["a", "c!"], early.after).kind is None


def test_a_thing_that_went_and_came_back_is_new() -> None:
    first = at(NOW_S, ["a", "b"])
    without = at(NOW_S + 60, ["b"], first.after)
    assert without.kind is None
    assert at(NOW_S + GAP_S, ["a", "b"], without.after).listed == {"a"}
    end = at(NOW_S + GAP_S, [], first.after)
    assert at(NOW_S + 2 * GAP_S, ["a"], end.after).kind is Kind.ALERT


def test_failed_runs_are_an_alert_without_anything_that_waits() -> None:
    first = at(NOW_S, [], failed=True)
    assert (first.kind, first.listed) == (Kind.ALERT, set())
    assert at(NOW_S + 60, [], first.after, failed=True).kind is None, "a run that fails each minute is gathered"
    assert at(NOW_S + 60, [], first.after).kind is None, "no all clear for a run"
    assert at(NOW_S + 60, ["a!"], first.after, failed=True).listed == {"a"}


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    before = at(NOW_S, ["a"]).after
    assert at(NOW_S - 3600, ["a", "b"], before).kind is Kind.ALERT


@pytest.mark.parametrize("count", [MAX_MARKS + 1, 10_000])
def test_of_very_many_things_the_rest_is_counted_and_never_reported_twice(count: int) -> None:
    names = [mark_of(str(number)) for number in range(count)]
    first = at(NOW_S, names)
    assert (first.kind, len(first.listed)) == (Kind.ALERT, count)
    assert len(first.after.marks) == MAX_MARKS
    now_s, state, waiting = NOW_S, first.after, list(names)
    while len(waiting) > 10:  # they are resolved a part at a time, in any order
        waiting = waiting[: len(waiting) * 2 // 3]
        now_s += GAP_S
        decision = at(now_s, waiting, state)
        assert decision.kind is None
        assert len(decision.after.marks) <= MAX_MARKS
        state = decision.after
    assert at(now_s + GAP_S, [*waiting, "new"], state).listed == {"new"}
    assert at(now_s + GAP_S, [], state).kind is Kind.ALL_CLEAR


def test_while_only_a_part_is_known_what_was_reported_is_neither_listed_again_nor_forgotten() -> None:
    before = at(NOW_S, ["a", "b!"]).after
    due_s = NOW_S + DAY_S
    assert at(due_s, [], before, is_whole=False) == Decision(after=before), "no reminder without anything in it"
    closed = at(due_s + 60, ["home!"], before, is_whole=False)
    assert (closed.kind, closed.listed, closed.new) == (Kind.ALERT, {"home"}, {"home"})
    assert closed.after.listed_s == before.listed_s
    assert at(due_s + DAY_S, ["home!"], closed.after, is_whole=False).kind is None
    again = at(due_s + 60 + DAY_S, ["home!"], closed.after, is_whole=False)
    assert (again.kind, again.listed, again.new) == (Kind.REMINDER, {"home"}, set())
    assert at(due_s + 120 + DAY_S, ["home!"], again.after, is_whole=False).kind is None
    opened = at(due_s + 180 + DAY_S, ["a", "b!"], again.after)
    assert (opened.kind, opened.listed, opened.new) == (Kind.REMINDER, {"a", "b"}, set())


def test_of_very_many_things_none_is_new_after_an_outage() -> None:
    names = [mark_of(str(number)) for number in range(MAX_MARKS + 500)]
    before = at(NOW_S, names).after
    for home in ([], ["zzz!"]):  # a mark above those that are only counted
        closed = at(NOW_S + GAP_S, home, before, is_whole=False)
        assert bool(closed.listed) == bool(home)
        opened = at(NOW_S + 2 * GAP_S, names, closed.after)
        assert (opened.kind, opened.new) == (None, set())


def test_after_a_message_that_was_given_up_something_is_sent_even_if_nothing_waits() -> None:
    assert at(NOW_S, ["a"], has_lost=True).listed == {"a"}
    assert at(NOW_S, [], has_lost=True).kind is Kind.ALL_CLEAR
    assert at(NOW_S, [], has_lost=True, is_whole=False).kind is None
