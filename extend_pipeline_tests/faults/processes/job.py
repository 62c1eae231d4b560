"""What a process of the matrix does: opens a home, lets failpoints be armed, carries out an operator's decisions, and
works until it is idle: in lanes, as users' processes do, or one round after another. Its clock jumps over every wait,
and stands in a file, so that the next process goes on from there."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extend_pipeline.base import failpoints
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import Round, advance
from extend_pipeline.engine.decisions.resolve import Declined
from extend_pipeline.engine.drive import MAX_WAIT_MS, next_wait_ms, rounds
from extend_pipeline.engine.guards import ledger_look
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.engine.polling import poll
from extend_pipeline.engine.publish import publish_if_changed, publish_last
from extend_pipeline.ledger.read import queries
from extend_pipeline.webhooks.ingest import WebhookRequest, ingest
from extend_pipeline_tests.faults.processes import power_cut
from extend_pipeline_tests.support.harness.operator import OPERATOR, Decision, decide, resume
from extend_pipeline_tests.support.home.engine_home import JumpClock
from extend_pipeline_tests.support.processes.compiled import share_compiled
from extend_pipeline_tests.support.processes.unconfined import read_films_here

MAX_ROUNDS: Final = 120
IDLE_LOOKS: Final = 5
"""So many rounds in a row without any news end a process that may not submit: what is still in doubt then stays so."""

DECLINED: Final = 3
"""The exit code of a process in which a decision was declined."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process is to do. `clock` is the file of its clock; `points` arms failpoints; `callbacks` are webhook
    requests that come in first, as token and body; `seen_synced` asks for a log of what reached the disk
    (power_cut.py); with `list_worth` tasks due, the provider's list is read. One that is to be stopped works not
    `in_lanes` but in rounds, so that it holds no lock of the ledger in another lane. The clock of one that is `behind`
    doesn't see the jumps of others."""

    settings: dict[str, Any]
    environment: dict[str, str]
    clock: Path
    points: str = ""
    submit: bool = True
    publish: bool = False
    videos: tuple[str, ...] | None = None
    decisions: tuple[Decision, ...] = ()
    callbacks: tuple[tuple[str, str], ...] = ()
    seen_synced: Path | None = None
    list_worth: int = poll.LIST_WORTH
    in_lanes: bool = True
    behind: bool = False
    skipped_ms: int = 0


class FileClock(JumpClock):
    """A clock that jumps, and says in a file how far it has. All processes of a home share the jumps of all, but for
    one whose clock is `behind`: it sees its own alone."""

    def __init__(self, path: Path, more_ms: int = 0, *, behind: bool = False) -> None:
        super().__init__(skipped(path))
        self._path = path
        self._behind = behind
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.skip(more_ms)

    def __call__(self) -> int:
        if not self._behind:
            self.skipped_ms = max(self.skipped_ms, skipped(self._path))
        return super().__call__()

    def skip(self, ms: float) -> None:
        """Jump, and write it down: a process that is killed leaves the right time."""
        super().skip(ms)
        if self.skipped_ms >= skipped(self._path):  # else the others are ahead
            os.pwrite(self._file, f"{self.skipped_ms:015}".encode(), 0)

    def skip_wait(self, ms: float) -> None:
        """Jump to when something is due again."""
        # the longest wait only means that nothing of ours is due before it
        self.skip(ms if ms < MAX_WAIT_MS else 60_000)


def skipped(path: Path) -> int:
    """How many milliseconds the processes of a home have jumped over so far."""
    return int(path.read_text() or 0) if path.exists() else 0


def work(job: Job) -> None:
    """Do it, in this process. Ends it with DECLINED where a decision was declined."""
    os.environ.update(job.environment)
    if job.seen_synced is not None:
        power_cut.watch(job.seen_synced)
    read_films_here()
    poll.LIST_WORTH = job.list_worth  # type: ignore[misc]
    clock = FileClock(job.clock, job.skipped_ms, behind=job.behind)
    with open_home(Settings(**job.settings), now_ms=clock) as pipeline:
        share_compiled(pipeline.ledger)
        declined = [reason for decision in job.decisions if (reason := _carry_out(pipeline, decision)) is not None]
        ingest(pipeline, [WebhookRequest(token, body.encode()) for token, body in job.callbacks])
        failpoints.arm(job.points)
        # lanes always submit
        (_work_in_lanes if job.submit and job.in_lanes else _work_in_rounds)(pipeline, clock, job)
        if job.publish:
            publish_last(pipeline)
    if declined:
        sys.stdout.write("\n".join(declined))
        sys.exit(DECLINED)


def _carry_out(pipeline: Pipeline, decision: Decision) -> str | None:
    """Return the reason why a decision was declined, else None."""
    if decision.verb == "resume":
        resume(pipeline)
        return None
    if decision.verb == "accept":
        look = ledger_look.accept(
            pipeline.settings, pipeline.ledger, who=OPERATOR, why="it is lost", now_ms=pipeline.now_ms()
        )
        return None if look.kind.can_be_accepted else f"{decision}: it is {look.kind}"
    outcome = decide(pipeline, decision)
    return f"{decision}: {outcome.message}" if isinstance(outcome, Declined) else None


class JumpingStop(threading.Event):
    """The event by which `rounds` waits until something is due: the clock jumps there. No job runs meanwhile."""

    def __init__(self, clock: FileClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Jump so many seconds."""
        assert timeout is not None
        self._clock.skip_wait(round(timeout * 1000))
        return self.is_set()


def _work_in_lanes(pipeline: Pipeline, clock: FileClock, job: Job) -> None:
    with closing(rounds(pipeline, videos=job.videos, stop=JumpingStop(clock))) as made:
        for number, now in enumerate(made):
            if number == MAX_ROUNDS:
                raise AssertionError(f"still not idle after {MAX_ROUNDS} rounds: {now.plan.videos}")
            if job.publish:  # as another process of the home may at any time
                publish_if_changed(pipeline)


def _work_in_rounds(pipeline: Pipeline, clock: FileClock, job: Job) -> None:
    idle = 0
    for _ in range(MAX_ROUNDS):
        now = advance(pipeline, videos=job.videos, submit=job.submit, publish=job.publish)
        wait = next_wait_ms(pipeline, now, videos=job.videos) if job.submit else _next_look_ms(pipeline, now)
        idle = 0 if now.did_something else idle + 1
        if wait is None or (not job.submit and idle >= IDLE_LOOKS):
            return
        clock.skip_wait(wait)
    raise AssertionError(f"still not idle after {MAX_ROUNDS} rounds: {now.plan.videos}")


def _next_look_ms(pipeline: Pipeline, now: Round) -> int | None:
    """How long until something that was sent is looked at again; None where nothing is."""
    if now.did_something:
        return 0
    with pipeline.ledger.read() as connection:
        look = queries.next_look(connection)
    return None if look is None else max(0, look - pipeline.now_ms())
