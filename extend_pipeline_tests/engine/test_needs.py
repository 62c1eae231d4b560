"""What waits for a person, apart from what a video's own plan says: each kind once, with what helps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from extend_pipeline.base import failpoints
from extend_pipeline.base.failpoints import FailpointError
from extend_pipeline.config.last_good import last_good_path
from extend_pipeline.engine.advance import advance, declare_catalogue
from extend_pipeline.engine.decisions import resolve
from extend_pipeline.engine.decisions.edits import confirm_withdrawn
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.needs import Need, needs_now
from extend_pipeline.engine.status import status
from extend_pipeline.engine.store.watch import watch_store
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.write import controls, files, reconciliation, statements
from extend_pipeline.ledger.write.files import Role
from extend_pipeline.ledger.write.reconciliation import ReconciliationItem, ReconciliationVerdict
from extend_pipeline.media.store import MediaRef
from extend_pipeline_tests.support.home.engine_home import DAY_MS, EngineHome, JumpClock, account, drive
from extend_pipeline_tests.support.user_texts import check_user_text

WORDS = "no longer there"


def only(pipeline: Pipeline) -> Need:
    """Return the one thing that waits."""
    (need,) = needs_now(pipeline)
    return need


def sources(pipeline: Pipeline) -> list[str]:
    """Return the paths of the videos' sources in the store."""
    with pipeline.ledger.read() as connection:
        return [row.source_path for row in queries.videos(connection) if row.source_path is not None]


def test_nothing_waits_in_a_finished_home(home: EngineHome) -> None:
    home.seeded(1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        assert needs_now(pipeline) == []


def test_a_ledger_that_is_not_accepted_is_one_thing(home: EngineHome) -> None:
    home.seeded(3)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
    (home.settings.state_dir / "ledger.sqlite").unlink()
    with home.open(JumpClock()) as pipeline:
        need = only(pipeline)
        assert (need.kind, need.videos, need.hop) == ("ledger_not_accepted", ("v000", "v001", "v002"), None)


def test_an_account_that_left_the_file_with_a_task_is_shown(home: EngineHome) -> None:
    home.seeded(1)
    with home.open(JumpClock()) as pipeline:
        failpoints.arm("poll.before_query=raise")
        with pytest.raises(FailpointError):
            drive(pipeline)
        failpoints.disarm()
    home.write([], account(home.sandbox.base_url, name="another"))
    last_good_path(home.settings.state_dir).unlink()
    with home.open(JumpClock()) as pipeline:
        need = only(pipeline)
        assert (need.kind, need.account, need.where) == ("unknown_account", "k", "account k")
        check_user_text(need.message)


def test_a_task_whose_video_left_the_catalogue_is_shown_when_it_is_overdue(
    make_home: Callable[..., EngineHome],
) -> None:
    home = make_home(run_time=(10**6, 10**6))
    entries = home.seeded(2)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        home.catalogue(entries[:1])
        pipeline.refresh()
        assert needs_now(pipeline) == []
        clock.skip(pipeline.accounts["k"].patience_s * 1000 + 60_000)
        overdue, left = needs_now(pipeline)
        assert (overdue.kind, overdue.where) == ("overdue", "v000/1")
        assert (left.kind, left.where) == ("left_over", "v001/1")
        check_user_text(left.todo)


def test_differences_and_statements_that_cannot_be_read_are_shown(home: EngineHome) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        item = ReconciliationItem(
            task_id="t1",
            verdict=ReconciliationVerdict.UPSTREAM_ONLY,
            attempt_id=None,
            unit="kling-unit",
            ledger_micros=None,
            upstream_micros=2_000_000,
            note="n",
        )
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
            reconciliation.record(tx, account="k", source="list", compared=[item])
            statements.record_unavailable(tx, account="k", source="bill", message="no rights")
        check_user_text(only(pipeline).todo)
        clock.skip(3 * DAY_MS)
        difference, unavailable = needs_now(pipeline)
        assert (difference.kind, unavailable.kind) == ("upstream_only", "statement_unavailable")
        assert (unavailable.account, unavailable.words) == ("k", "no rights")
        check_user_text(unavailable.todo)


def test_a_film_that_is_gone_is_fetched_and_one_that_is_lost_is_shown(home: EngineHome) -> None:
    home.seeded(3)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            stored = queries.first_hop(connection, "v000")
        assert stored is not None
        assert stored.path is not None
        Path(pipeline.store.location(MediaRef.parse(stored.path))).unlink()
        pipeline.store.forget_look()
        watch_store(pipeline)
        with pipeline.ledger.read() as connection:
            (gone,) = files.found_missing(connection)
        assert gone.role is Role.RESULT
        assert needs_now(pipeline) == []
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
            files.record_lost(tx, gone.key, gone, WORDS)
        need = only(pipeline)
        assert (need.kind, need.where, need.words) == ("film_lost", gone.where, WORDS)


def test_a_thing_keeps_its_ids_while_its_age_grows(make_home: Callable[..., EngineHome]) -> None:
    home = make_home(run_time=(10**6, 10**6))
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        advance(pipeline, publish=False)
        clock.skip(pipeline.accounts["k"].patience_s * 1000 + 60_000)
        early = only(pipeline)
        clock.skip(3_600_000)
        late = only(pipeline)
    assert (early.kind, early.ids) == (late.kind, late.ids)
    assert early.message != late.message


def test_a_stop_is_one_thing_however_many_videos_wait_for_it(home: EngineHome) -> None:
    entries = home.seeded(3)
    home.catalogue(entries[:1])
    with home.open(JumpClock()) as pipeline:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
            controls.stop_account(tx, "k", reason="no_money", message="empty")
        one = only(pipeline)
        home.catalogue(entries)
        pipeline.refresh()
        three = only(pipeline)
    assert (len(one.videos), len(three.videos)) == (1, 3)
    assert one.ids == three.ids


def test_of_videos_that_wait_for_the_same_each_has_an_id_of_its_own(home: EngineHome) -> None:
    entries = home.seeded(3)
    for entry in entries:
        entry["source"]["created_at"] = "2020-01-01T00:00:00Z"
    home.catalogue(entries[:2])
    with home.open(JumpClock()) as pipeline:
        two = only(pipeline).ids
        home.catalogue(entries)
        pipeline.refresh()
        three = only(pipeline).ids
    assert (len(set(two)), len(set(three))) == (2, 3)
    assert set(two) < set(three)


def test_each_stop_is_a_thing_of_its_own_unless_it_ends_by_itself(home: EngineHome) -> None:
    home.seeded(1)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        by_video, by_account = [], []
        for reason in ("balance", "balance", "forbidden", "clock", "clock", "proxy"):
            with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
                controls.resume(tx, "k", why="t")
                controls.stop_account(tx, "k", reason=reason, message="empty")
            by_video += only(pipeline).ids
            assert only(pipeline).videos == ("v000",)
            clock.skip(1)
        home.catalogue([])
        pipeline.refresh()
        by_account += only(pipeline).ids
    first, second, other, early, late, proxy = by_video
    assert len({first, second, other, early, proxy}) == 5
    assert early == late, "it may come and go each minute"
    assert by_account == [proxy], "with and without a video that waits for it"


def test_a_second_refusal_of_a_hop_is_another_thing(home: EngineHome) -> None:
    home.seeded(1)
    home.sandbox.faults([{"kind": "content_refusal", "where": "submit", "times": 2}])
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        first = only(pipeline)
        assert isinstance(resolve.resubmit(pipeline, "v000/1", who="t", why="t"), resolve.Resolved)
        drive(pipeline)
        second = only(pipeline)
    assert (first.kind, first.where) == (second.kind, second.where) == ("rejected", "v000/1")
    assert set(first.ids).isdisjoint(second.ids)


def test_a_second_mistake_is_new_and_one_that_moves_or_goes_is_not(home: EngineHome) -> None:
    entries = home.seeded(3)
    with home.open(JumpClock()) as pipeline:
        seen = []
        for wrong in (("v002",), ("v000", "v002"), ("v000",)):
            home.catalogue([entry | ({"oops": 1} if entry["key"] in wrong else {}) for entry in entries])
            pipeline.refresh()
            seen.append(set(only(pipeline).ids))
        home.catalogue([entries[1], entries[0] | {"oops": 1}])
        pipeline.refresh()
        moved = set(only(pipeline).ids)
    one, two, rest = seen
    assert (len(one), len(two), two - one) == (1, 2, rest)
    assert moved == rest


def test_each_edit_of_a_paid_hop_is_a_question_of_its_own(home: EngineHome) -> None:
    entries = home.seeded(1)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        ids = []
        for prompt in ("one", "one", "two"):
            home.catalogue([entries[0] | {"extend": entries[0]["extend"] | {"prompt": prompt}}])
            pipeline.refresh()
            declare_catalogue(pipeline)
            need = only(pipeline)
            assert need.kind == "repurchase"
            ids += need.ids
    assert ids[0] == ids[1] != ids[2]


def test_two_statements_of_one_account_are_two_things(home: EngineHome) -> None:
    home.seeded(2)
    clock = JumpClock()
    with home.open(clock) as pipeline:
        drive(pipeline)
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
            for source in ("bill", "list"):
                statements.record_unavailable(tx, account="k", source=source, message="no rights")
        clock.skip(3 * DAY_MS)
        first, second = needs_now(pipeline)
        assert set(first.ids).isdisjoint(second.ids)


def test_the_lost_sources_of_one_account_are_things_of_their_own(home: EngineHome) -> None:
    home.seeded(2)
    with home.open(JumpClock()) as pipeline:
        drive(pipeline)
        for row in sources(pipeline):
            Path(pipeline.store.location(MediaRef.parse(row))).unlink()
        pipeline.store.forget_look()
        watch_store(pipeline)
        with pipeline.ledger.read() as connection:
            gone = files.found_missing(connection)
        assert [file.where for file in gone] == ["v000", "v001"]
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor="t") as tx:
            for file in gone:
                files.record_lost(tx, file.key, file, WORDS)
        assert len({name for need in needs_now(pipeline) for name in need.ids}) == 2


def test_many_videos_that_left_the_catalogue_at_once_are_one_thing(home: EngineHome) -> None:
    entries = home.seeded(14)
    with home.open(JumpClock()) as pipeline:
        declare_catalogue(pipeline)
        home.catalogue(entries[13:])
        pipeline.refresh()
        assert len(declare_catalogue(pipeline).withdrawn) == 13
        first = only(pipeline)
        assert (first.kind, len(first.videos), first.is_urgent) == ("withdrawn_with_many", 13, False)
        check_user_text(f"{first.where}: {first.message} → {first.todo}")
        assert status(pipeline).exit_code == 1
        home.catalogue(entries)
        pipeline.refresh()
        declare_catalogue(pipeline)
        assert needs_now(pipeline) == []
        home.catalogue([])
        pipeline.refresh()
        declare_catalogue(pipeline)
        second = only(pipeline)
        assert (len(second.videos), second.ids == first.ids) == (14, False)
        assert len(confirm_withdrawn(pipeline, who="ann")) == 14
        assert (needs_now(pipeline), status(pipeline).exit_code) == ([], 0)
        assert confirm_withdrawn(pipeline, who="ann") == ()
