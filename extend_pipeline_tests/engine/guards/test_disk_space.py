"""Nothing is bought that has no room, paid results wait for room and the disk is named, and no interrupted work stays
leased."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from extend_pipeline.engine.advance import Round, advance, declare_catalogue
from extend_pipeline.engine.dispatch import Dispatcher
from extend_pipeline.engine.drive import advance_until_idle
from extend_pipeline.engine.fetch.collect import collect_due, lease_results
from extend_pipeline.engine.guards.disk_space import GIB, DiskError, DiskSpace, as_disk_error, require_space
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.lanes import Lane, Lanes, Stage, Stop
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Plan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.poll import poll_due
from extend_pipeline.engine.store.watch import LOOK_EVERY_MS
from extend_pipeline.engine.submit.source_probe import PrepareReport
from extend_pipeline.engine.submit.submit import SubmitReport, submit_due
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import VideoState
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline_tests.engine.submit.test_full_disk import finishes, full_tmpfs
from extend_pipeline_tests.support.home.engine_home import EngineHome, JumpClock, account, drive, entry, source_id
from extend_pipeline_tests.support.home.every_provider import other_account, planted
from extend_pipeline_tests.support.home.plan_inputs import configured, given
from extend_pipeline_tests.support.processes.bounded import run_bounded
from extend_pipeline_tests.support.user_texts import check_user_text, line_with

MakeHome = Callable[..., EngineHome]
MIB = 1024**2


def space(media_free: int | None, *, state_free: int | None = 500 * GIB, awaited: int = 0) -> DiskSpace:
    """Return the state of the disks, with the default bounds."""
    return DiskSpace("/films", media_free, Path("/state"), state_free, awaited, 128 * MIB, GIB)


def block_reasons(folder: Path, disk: DiskSpace, *, steps: int = 20) -> list[BlockReason | None]:
    """Return what each of `steps` due videos waits for."""
    configuration = configured(folder, [entry(f"v{number:02}", source_id(number)) for number in range(steps)])
    planned = plan(replace(given(configuration), disk=disk))
    return [video.blocker.reason if video.blocker else None for video in planned.videos]


@pytest.mark.parametrize(
    ("disk", "due", "reason"),
    [
        pytest.param(space(20 * GIB), 20, None, id="a laptop"),
        pytest.param(space(None), 20, None, id="a disk of unknown size"),
        pytest.param(space(2 * GIB), 8, BlockReason.DISK_RESERVED, id="room for some"),
        pytest.param(space(2 * GIB, awaited=8), 0, BlockReason.DISK_RESERVED, id="room for what is under way"),
        pytest.param(space(GIB + 128 * MIB), 1, BlockReason.DISK_RESERVED, id="room for one"),
        pytest.param(space(GIB + 127 * MIB), 0, BlockReason.NO_DISK_SPACE, id="room for none"),
        pytest.param(space(GIB, awaited=8), 0, BlockReason.NO_DISK_SPACE, id="full with results to come"),
        pytest.param(space(20 * GIB, state_free=GIB - 1), 0, BlockReason.NO_DISK_SPACE, id="the ledger's disk"),
    ],
)
def test_a_plan_buys_only_what_there_is_room_for(
    disk: DiskSpace, due: int, reason: BlockReason | None, tmp_path: Path
) -> None:
    assert block_reasons(tmp_path, disk) == [None] * due + [reason] * (20 - due)


@pytest.mark.parametrize(
    "code",
    [
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EFBIG,
        errno.ENOTDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.EXDEV,
    ],
)
def test_a_disk_error_names_the_folder_what_waits_and_what_to_do(code: int, home: EngineHome) -> None:
    part = home.settings.media_dir / ".incoming" / "x.part"
    error = as_disk_error(OSError(code, "it says", str(part)), home.settings, awaited=3)
    assert error is not None
    assert error.errno == code
    assert str(home.settings.media_dir) in str(error)
    check_user_text(str(error))
    assert as_disk_error(OSError(errno.ENOENT, "gone"), home.settings, awaited=0) is None


def test_a_file_that_has_no_room_is_not_begun(tmp_path: Path) -> None:
    require_space(LocalStore(tmp_path), None)
    require_space(LocalStore(tmp_path / "later"), 1)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as raised:
        require_space(LocalStore(tmp_path), 1 << 60)
    assert raised.value.errno == errno.ENOSPC


def test_nothing_is_bought_without_room_and_everything_once_there_is(home: EngineHome) -> None:
    home.seeded(3, steps=1)
    home.options["min_free_bytes"] = 1 * MIB
    with full_tmpfs(home.settings.media_dir, size="512k"):
        with home.open() as pipeline:
            before = plan(plan_input(pipeline))
        done = run_bounded(home, "advance", "--until-idle", "--json")
        assert done.returncode == 1
        document = json.loads(done.stdout)
        assert home.sandbox.charges()["charges"] == []
        assert {video.blocker.reason for video in before.videos if video.blocker} == {BlockReason.NO_DISK_SPACE}
        assert document["disk"]["short"]
        assert document["disk"]["media"]["needed_bytes"] == 1 * MIB
        assert document["disk"]["media"]["free_bytes"] <= 512 * 1024
        doctor = json.loads(run_bounded(home, "doctor", "--offline", "--json").stdout)
        assert [finding["level"] for finding in doctor["findings"] if finding["check"] == "disk"] == ["problem"]
        subprocess.run(["mount", "-o", "remount,size=64m", str(home.settings.media_dir)], check=True)
        finishes(home, charges=3)


def test_what_a_disk_or_a_machine_lacks_is_shown_and_not_written_into_the_ledger(home: EngineHome) -> None:
    home.seeded(1, steps=1)
    home.options["min_free_bytes"] = 1 << 60
    with home.open() as pipeline:
        now = advance(pipeline, publish=False)
        assert [video.blocker and video.blocker.reason for video in now.plan.videos] == [BlockReason.NO_DISK_SPACE]
        assert now.changed == []
        with pipeline.ledger.read() as connection:
            assert [row.state for row in queries.videos(connection)] == [VideoState.NEW]


def test_a_disk_that_fills_up_after_the_plan_is_noticed_before_the_claim(home: EngineHome) -> None:
    home.seeded(20, steps=1)
    home.options.update(min_free_bytes=1 * MIB, result_bytes=100_000, max_submits=4)
    with full_tmpfs(home.settings.media_dir, size="16m"), home.open() as pipeline:
        declare_catalogue(pipeline)
        planned = plan(plan_input(pipeline))
        assert len(planned.due) == 20
        (home.settings.media_dir / "others").write_bytes(b"x" * (15 * MIB - 650_000))
        report = submit_due(pipeline, planned)
        assert len(report.accepted) == len(home.sandbox.charges()["charges"]) == 6
        with pipeline.ledger.read() as connection:
            assert len(connection.execute(select(tables.attempts)).all()) == 6


def test_results_without_room_wait_unleased_and_are_fetched_once_there_is(make_home: MakeHome, ledger_url: str) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(4, steps=1)
    with full_tmpfs(home.settings.media_dir, size="24k"):
        with home.open() as pipeline:
            advance(pipeline, publish=False)
            pipeline.now_ms.skip(60_000)  # type: ignore[attr-defined]
            now = advance(pipeline, publish=False)
            assert now.collected.disk_error is not None
            assert now.collected.disk_error.errno == errno.ENOSPC
            assert {v.blocker.reason for v in now.plan.videos if v.blocker} == {BlockReason.NO_DISK_SPACE}
            with pipeline.ledger.read() as connection:
                rows = connection.execute(select(tables.schedule)).all()
                assert {row.owner for row in rows} == {""}, "no worker has a lease on it"
                assert max(row.due_at for row in rows) <= pipeline.now_ms() + 30_000
        subprocess.run(["mount", "-o", "remount,size=64m", str(home.settings.media_dir)], check=True)
        finishes(home, charges=4)


def test_a_folder_that_became_read_only_is_named_and_buys_nothing(home: EngineHome) -> None:
    entries = home.seeded(2, steps=2)
    home.sandbox.seed([{"video_id": source_id(2), "duration": 5.0}])
    with full_tmpfs(home.settings.media_dir, size="64m"):
        with home.open() as pipeline:
            advance(pipeline, publish=False)
        subprocess.run(["mount", "-o", "remount,ro", str(home.settings.media_dir)], check=True)
        done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "20")
        assert done.returncode == 1
        check_user_text(line_with(done.stdout, " v000: "))
        assert "Traceback" not in done.stderr
        assert len(home.sandbox.charges()["charges"]) == 2
        home.catalogue([*entries, entry("v002", source_id(2), steps=2)])  # it waits for nothing of its own
        done = run_bounded(home, "advance", "--until-idle", "--max-seconds", "20", "--json")
        assert done.returncode == 1
        obstacles = {video["video"]: video["obstacle"]["kind"] for video in json.loads(done.stdout)["videos"]}
        assert obstacles == dict.fromkeys(("v000", "v001", "v002"), BlockReason.NO_DISK_SPACE)
        assert len(home.sandbox.charges()["charges"]) == 2
        subprocess.run(["mount", "-o", "remount,rw", str(home.settings.media_dir)], check=True)
        finishes(home, charges=6)


def refuse(*_arguments: Any, **_named: Any) -> Any:
    """Refuse a write, as a folder of another user does."""
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


def test_no_step_is_due_or_claimed_while_a_paid_result_can_not_be_written(
    make_home: MakeHome, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, clock = make_home(ledger_url=ledger_url), JumpClock()
    home.seeded(2)
    with home.open(clock) as pipeline:
        declare_catalogue(pipeline)
        earlier = plan(plan_input(pipeline))
        assert submit_due(pipeline, replace(earlier, videos=earlier.videos[:1])).accepted == ["v000/1"]
        clock.skip(60_000)
        assert poll_due(pipeline).succeeded == ["v000/1"]
        with monkeypatch.context() as patch:
            patch.setattr(pipeline.store, "partial", refuse)
            assert collect_due(pipeline).failed == ["v000/1"]
        assert_blocked(pipeline, earlier)
        clock.skip(30_000)
        (job,) = lease_results(pipeline, "k", 1)  # it is fetched again, and not stored yet
        assert_blocked(pipeline, earlier)
        assert job().stored == ["v000/1"]
        assert [step.video.key for step in plan(plan_input(pipeline)).due] == ["v001"]
        assert submit_due(pipeline, earlier).accepted == ["v001/1"]


def assert_blocked(pipeline: Pipeline, earlier: Plan) -> None:
    """Assert that every video waits for the disk, and that a plan from before buys nothing either."""
    videos = plan(plan_input(pipeline)).videos
    assert [video.blocker and video.blocker.reason for video in videos] == [BlockReason.NO_DISK_SPACE] * 2
    assert submit_due(pipeline, earlier) == SubmitReport()


@pytest.fixture
def slow_task(home: EngineHome) -> dict[str, Any]:
    """Write a home with accounts of two providers, and with one whose task is polled after some seconds; return the
    entry of this task."""
    home.sandbox.seed([{"video_id": source_id(number), "duration": 5.0} for number in range(3)])
    url, slow = home.sandbox.base_url, entry("slow", source_id(0), account="slow")
    poll = {"first_after": 3.0, "every": 3.0}
    home.write([slow], account(url), account(url, "slow", poll=poll), other_account("vidu", url))
    return slow


def test_a_run_buys_nothing_once_a_result_could_not_be_written_and_then_goes_on(
    home: EngineHome, slow_task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [slow_task, entry("first", source_id(1)), entry("second", source_id(2))]
    home.catalogue(entries[:2])
    clock = JumpClock()
    failed: list[Round] = []
    with home.open(clock) as pipeline:
        declare_catalogue(pipeline)
        assert len(submit_due(pipeline, plan(plan_input(pipeline))).accepted) == 2
        clock.skip(1_000)

        def look(now: Round) -> None:
            if now.collected.disk_error is not None and not failed:
                failed.append(now)
                home.catalogue(entries)  # one more, which is due as soon as a plan sees it

        with monkeypatch.context() as patch:
            patch.setattr(pipeline.store, "partial", refuse)
            advance_until_idle(pipeline, max_seconds=30, on_round=look)
            assert failed
            assert len(home.sandbox.charges()["charges"]) == 2
        clock.skip(30_000)
        done = advance_until_idle(pipeline, max_seconds=30)
        assert {video.state for video in done.videos} == {VideoState.COMPLETE}
        assert len(home.sandbox.charges()["charges"]) == 3


def test_a_run_buys_nothing_once_a_source_could_not_be_written(
    home: EngineHome, slow_task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [slow_task, planted(home, "vidu", 0), entry("late", source_id(1))]
    failed: list[Round] = []
    with home.open() as pipeline:
        declare_catalogue(pipeline)
        assert len(submit_due(pipeline, plan(plan_input(pipeline))).accepted) == 1
        home.catalogue(entries[:2])

        def look(now: Round) -> None:
            if now.disk_error is not None and not failed:
                failed.append(now)
                home.catalogue(entries)

        monkeypatch.setattr(pipeline.store, "partial", refuse)
        with pytest.raises(DiskError):
            advance_until_idle(pipeline, max_seconds=30, on_round=look)
        assert failed
        assert len(home.sandbox.charges()["charges"]) == 1


def test_a_run_ends_while_a_missing_source_can_not_be_written_and_a_step_is_due(
    home: EngineHome, slow_task: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [slow_task, planted(home, "vidu", 0), entry("late", source_id(1))]
    home.catalogue(entries[:2])
    clock = JumpClock()
    made: list[Round] = []
    with home.open(clock) as pipeline:
        drive(pipeline)
        with pipeline.ledger.read() as connection:
            key, path = tables.videos.c.video_key, tables.videos.c.source_path
            source = connection.execute(select(path).where(key == "vidu-0"))
            (home.settings.media_dir / source.scalar_one()).unlink()
        clock.skip(LOOK_EVERY_MS + 1)

        def look(now: Round) -> None:
            made.append(now)
            if len(made) == 1:
                home.catalogue(entries)

        with monkeypatch.context() as patch:
            patch.setattr(pipeline.store, "partial", refuse)
            with pytest.raises(DiskError):
                advance_until_idle(pipeline, max_seconds=30, on_round=look)
        assert made[-1].plan.due
        assert len(made) < 10  # every 50 ms there was one
        assert len(home.sandbox.charges()["charges"]) == 2
        done = advance_until_idle(pipeline, max_seconds=30)
        assert {video.state for video in done.videos} == {VideoState.COMPLETE}
        assert len(home.sandbox.charges()["charges"]) == 3


def test_an_error_of_a_source_stops_nothing_once_no_source_is_waited_for(home: EngineHome) -> None:
    home.write([])
    report = PrepareReport(disk_error=DiskError(errno.EACCES, "it can't be written"))
    with home.open() as pipeline, Lanes(Stop(threading.Event())) as lanes:
        dispatcher = Dispatcher(pipeline, lanes, videos=None, gap_s=0.0, shown=0)
        dispatcher.plan()
        lanes.start(Lane(Stage.PREPARE, "k"), lambda: report)
        assert dispatcher.work()
        assert dispatcher.plan().disk_error is report.disk_error
        assert dispatcher.work()  # another plan is worth making, because the error is over
        assert dispatcher.plan().disk_error is None


class Interrupted(BaseException):
    """Stands for what Ctrl-C or Dagster's cancel raises."""


def interrupt(*_arguments: Any, **_named: Any) -> Any:
    """Interrupt the step that is under way."""
    raise Interrupted


@pytest.mark.parametrize("method", ["query", "find"])
def test_what_an_interrupted_poll_had_leased_is_due_at_once(
    method: str, make_home: MakeHome, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(2, steps=1)
    if method == "find":
        home.sandbox.faults([{"kind": "reset_after", "where": "submit", "times": 2}])
    with home.open() as pipeline:
        advance(pipeline, publish=False)
        pipeline.now_ms.skip(60_000)  # type: ignore[attr-defined]
        monkeypatch.setattr(pipeline.provider("k"), method, interrupt)
        with pytest.raises(Interrupted):
            advance(pipeline, publish=False)
        assert held_or_later(pipeline) == []


def test_what_an_interrupted_fetch_had_leased_is_due_at_once(home: EngineHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.seeded(2, steps=1)
    with home.open() as pipeline:
        advance(pipeline, publish=False)
        pipeline.now_ms.skip(60_000)  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setattr(pipeline.store, "partial", interrupt)
            with pytest.raises(Interrupted):
                advance(pipeline, publish=False)
        assert held_or_later(pipeline) == []
        assert {video.state for video in advance(pipeline, publish=False).plan.videos} == {VideoState.COMPLETE}


def test_a_claim_that_an_interruption_left_unsent_is_released(
    make_home: MakeHome, ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = make_home(ledger_url=ledger_url)
    home.seeded(2, steps=1)
    home.accounts(account(home.sandbox.base_url))
    with home.open() as pipeline:
        with monkeypatch.context() as patch:
            patch.setattr("extend_pipeline.ledger.write.transitions.mark_sending", interrupt)
            with pytest.raises(Interrupted):
                advance(pipeline, publish=False)
        with pipeline.ledger.read() as connection:
            rows = connection.execute(select(tables.attempts)).all()
        assert {row.state for row in rows} == {"released"}
    finishes(home, charges=2)


def held_or_later(pipeline: Pipeline) -> list[str]:
    """Return the attempts that are scheduled and leased or not due now."""
    with pipeline.ledger.read() as connection:
        rows = connection.execute(select(tables.schedule))
        return [row.attempt_id for row in rows if row.owner or row.due_at > pipeline.now_ms()]
