"""Four accounts beside each other: one that never replies, one whose films come slowly, one whose third calls fail, and
one that is whole. How fast the whole one is beside the others, and alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from benchmarks.context import Context, Home
from benchmarks.measure import CLI, ProgramFailedError
from benchmarks.relay import relay
from benchmarks.report import Section, ratio
from benchmarks.services import cpu_of, dagster_dev, service
from benchmarks.upstream import upstream
from benchmarks.worlds import World, seeds, write_worlds
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline_tests.support.servers.silent import running_silent_server

PROVIDER: Final = "kling"
VIDEOS: Final = 12  # of each account
HOPS: Final = 5
RUN_TIME: Final = (1.0, 2.0)  # of a task (s)
FILM_S: Final = 40.0
FAILS_EACH: Final = 3
QUIET_S: Final = 20.0  # how long the silent account is watched at least: several deadlines
DEADLINES: Final = {  # shorter than by default, so that the silent account's submits come into doubt early
    "EXTEND_PIPELINE_POST_DEADLINE_S": "3",
    "EXTEND_PIPELINE_GET_DEADLINE_S": "3",
    "EXTEND_PIPELINE_LEASE_S": "10",
    "EXTEND_PIPELINE_LINGER_S": "5",
}
SILENT, SLOW, FAILING, WHOLE = "silent", "slow", "failing", "whole"

Start = Callable[[Home], Iterator[int]]
_LEAVES_DOUBT: Final = frozenset({"attempt_submitted", "attempt_released", "attempt_written_off"})


@dataclass(frozen=True)
class Seen:
    """What one run has shown: hops a second of the whole account, the CPU seconds until its last hop was stored, the
    most submits of the silent one that were in doubt at a time, the POSTs that it got, and what the others stored."""

    rate: float
    cpu: float
    doubts: int = 0
    posts: int = 0
    slow: int = 0
    failing: int = 0


def measure(context: Context) -> Section:
    """Measure the command line and Dagster, each alone and beside in turn, so that a change in the machine's speed
    affects both."""
    videos = context.scaled(VIDEOS)
    section = Section("One account beside a silent, a slow and a failing one")
    low, high = RUN_TIME
    section.note(
        f"{videos} videos × {HOPS} hops for each account, tasks of {low:g} to {high:g} s. The silent account's "
        f"upstream takes connections and never replies, the slow one's films take {FILM_S:g} s each, and of "
        f"{FAILS_EACH} calls of the failing one the last gets status 500. Hops/s of the whole one from its first claim "
        f"to its last stored film; CPU of all processes until then, Dagster's start included. Medians of "
        f"{context.runs}."
    )
    rows, notes = [], []
    for name, start in (("command line", _command_line), ("`dagster dev`", _dagster)):
        alone, beside = [], []
        for _ in range(context.runs):
            alone.append(_run(context, start, videos, others=False))
            beside.append(_run(context, start, videos, others=True))
        rate_alone, rate = (statistics.median(seen.rate for seen in each) for each in (alone, beside))
        cpu_alone, cpu = (statistics.median(seen.cpu for seen in each) for each in (alone, beside))
        rows.append(
            [
                name,
                f"{rate_alone:.2f}",
                f"{rate:.2f}",
                ratio(rate, rate_alone),
                f"{cpu_alone:.1f}",
                f"{cpu:.1f}",
                str(max(seen.doubts for seen in beside)),
                str(max(seen.posts for seen in beside)),
            ]
        )
        stored = ", ".join(f"{seen.slow} and {seen.failing}" for seen in beside)
        notes.append(f"{name}: the slow and the failing account have stored {stored} hops meanwhile.")
    silent = ["most in doubt", "POSTs of the silent one"]
    section.table(["", "hops/s alone", "beside", "ratio", "CPU s alone", "beside", *silent], rows)
    for note in notes:
        section.note(note)
    return section


def _run(context: Context, start: Start, videos: int, *, others: bool) -> Seen:
    """Let a program work on the whole account, alone or beside the others, until all its hops are stored and the silent
    account was watched for a while."""
    home = context.home("neighbours")
    with ExitStack() as stack:
        sandboxes = {
            name: stack.enter_context(_sandbox(context, videos))
            for name in (WHOLE, *((SLOW, FAILING) if others else ()))
        }
        urls = {WHOLE: sandboxes[WHOLE]}
        silent = stack.enter_context(running_silent_server())
        if others:
            urls[SILENT] = silent.url
            urls[SLOW] = stack.enter_context(relay(sandboxes[SLOW], film_s=FILM_S))
            urls[FAILING] = stack.enter_context(relay(sandboxes[FAILING], fails_each=FAILS_EACH))
        worlds = [World(PROVIDER, videos, url, hops=HOPS, name=name) for name, url in urls.items()]
        write_worlds(home.settings.home, worlds)
        pid = stack.enter_context(contextmanager(start)(home))
        began = time.monotonic()
        with closing(open_ledger(home.settings.ledger_url)) as ledger:
            _wait(lambda: _stored(ledger, WHOLE) == videos * HOPS, seconds=300, what="the whole account's hops")
            cpu = cpu_of(pid)
            if others:
                _wait(lambda: time.monotonic() - began >= QUIET_S and silent.posts > 0, seconds=120, what="a submit")
            rate = videos * HOPS / _took_s(ledger, WHOLE)
            counts = _stored(ledger, SLOW), _stored(ledger, FAILING)
            return Seen(rate, cpu, _most_in_doubt(ledger, SILENT), silent.posts, *counts)


def _command_line(home: Home) -> Iterator[int]:
    log = home.settings.home / "advance.log"
    with service([*CLI, "advance", "--until-idle"], home.environment | DEADLINES, log=log) as pid:
        yield pid


def _dagster(home: Home) -> Iterator[int]:
    with dagster_dev(home, DEADLINES) as (pid, _):
        yield pid


@contextmanager
def _sandbox(context: Context, videos: int) -> Iterator[str]:
    state = context.home("sandbox").settings.home
    with upstream(state, seeds=seeds(PROVIDER, videos), run_time=RUN_TIME) as sandbox:
        yield sandbox.base_url


def _wait(is_over: Callable[[], bool], *, seconds: float, what: str) -> None:
    ends = time.monotonic() + seconds
    while not is_over():
        if time.monotonic() >= ends:
            raise ProgramFailedError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.25)


def _stored(ledger: Ledger, account: str) -> int:
    attempts = tables.attempts.c
    counted = select(func.count()).where(attempts.account == account, attempts.state == "stored")
    with ledger.read() as connection:
        return int(connection.execute(counted).scalar_one())


def _took_s(ledger: Ledger, account: str) -> float:
    """Return the seconds from the account's first claim to its last stored film."""
    events, attempts = tables.events.c, tables.attempts.c
    kinds = ("attempt_claimed", "attempt_stored")
    of_account = select(attempts.attempt_id).where(attempts.account == account)
    span = select(func.min(events.at), func.max(events.at)).where(
        events.kind.in_(kinds), events.attempt_id.in_(of_account)
    )
    with ledger.read() as connection:
        first, last = connection.execute(span).one()
    return max(1, last - first) / 1000


def _most_in_doubt(ledger: Ledger, account: str) -> int:
    """Return how many of the account's attempts were in doubt at most at a time."""
    events, attempts = tables.events.c, tables.attempts.c
    of_account = select(attempts.attempt_id).where(attempts.account == account)
    moves = select(events.kind, events.attempt_id).where(events.attempt_id.in_(of_account)).order_by(events.seq)
    doubtful: set[str] = set()
    most = 0
    with ledger.read() as connection:
        for kind, attempt_id in connection.execute(moves):
            if kind == "attempt_in_doubt":
                doubtful.add(attempt_id)
            elif kind in _LEAVES_DOUBT:
                doubtful.discard(attempt_id)
            most = max(most, len(doubtful))
    return most
