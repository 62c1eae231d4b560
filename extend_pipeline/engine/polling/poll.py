"""Looks at tasks that are in flight and due, and writes down what became of them. Costs what is in flight, never what
was ever done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.clock import lift_own_stops
from extend_pipeline.engine.guards.keys import note_outcomes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.apply_task_state import Observed, observe
from extend_pipeline.engine.polling.lease import release_leases, released_on_error
from extend_pipeline.ledger.read.attempt_row import ScheduledAttempt
from extend_pipeline.ledger.states import POLLED
from extend_pipeline.ledger.write import job_queue
from extend_pipeline.providers.protocol import Found, Page, Provider, QueryFailed, QueryOutcome

TAKE: Final = 2_000  # tasks a round; far above any account's slots

LIST_WORTH: Final = 8
"""From so many due tasks on, a page of the list (one request, however many tasks) costs less than asking one by one."""

MAX_PAGES: Final = 4  # beyond these a task is older than 2,000 others of its account: it is asked for by itself


@dataclass
class PollReport:
    """What one round of polling did."""

    polled: int = 0
    requests: int = 0
    succeeded: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def poll_due(
    pipeline: Pipeline,
    *,
    videos: Collection[str] | None = None,
    accounts: Collection[str] | None = None,
    go_on: Callable[[], bool] = lambda: True,
) -> PollReport:
    """Poll every due task of the accounts (all by default), each account's by list pages or by bounded concurrent
    GETs. Accounts whose key this process lacks are left to others; one that was stopped for a wrong clock is asked
    first whether it goes on."""
    report = PollReport()
    lacking = pipeline.without_key()
    names = [name for name in (pipeline.accounts if accounts is None else accounts) if name not in lacking]
    asked = {name: pipeline.accounts[name] for name in names}
    lift_own_stops(pipeline, asked)
    waits = schedule.poll_waits(pipeline.settings, asked)
    if not job_queue.has_due(pipeline.ledger, now_ms=pipeline.now_ms(), states=POLLED, accounts=waits):
        return report
    by_account: dict[str, list[ScheduledAttempt]] = defaultdict(list)
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        leased = job_queue.claim_due(
            tx,
            states=POLLED,
            accounts=waits,
            videos=videos,
            lease_ms=schedule.poll_lease_ms(pipeline.settings, asked.values()),
            limit=TAKE,
            owner=pipeline.owner,
        )
    for due in leased:
        by_account[due.attempt.account].append(due)
    failpoint("poll.before_query")
    with (
        released_on_error(pipeline, [due.attempt.attempt_id for due in leased]),
        ThreadPoolExecutor(max_workers=pipeline.settings.max_polls, thread_name_prefix="poll") as pool,
    ):
        for name, mine in by_account.items():
            _poll_account(pipeline, pipeline.accounts[name], mine, pool, report, go_on)
    return report


def _poll_account(
    pipeline: Pipeline,
    account: Account,
    leased: list[ScheduledAttempt],
    pool: ThreadPoolExecutor,
    report: PollReport,
    go_on: Callable[[], bool],
) -> None:
    provider = pipeline.provider(account.name)
    rest = leased
    if provider.list_page_size and len(leased) >= LIST_WORTH:
        listed = _by_list(provider, {due.attempt.task for due in leased}, report)
        seen = [(due, listed[due.attempt.task]) for due in leased if due.attempt.task in listed]
        _write(pipeline, account, seen, report)
        rest = [due for due in leased if due.attempt.task not in listed]
    size = (
        provider.many or pipeline.settings.max_polls * 2
    )  # so many answers are lost at most by a crash before their commit
    for start in range(0, len(rest), size):
        if not go_on():
            release_leases(pipeline, [due.attempt.attempt_id for due in rest[start:]])
            break
        part = rest[start : start + size]
        answers, requests = _ask(provider, [due.attempt.task for due in part], pool)
        report.requests += requests
        _write(pipeline, account, list(zip(part, answers, strict=True)), report)


def _ask(provider: Provider, task_ids: list[str], pool: ThreadPoolExecutor) -> tuple[list[QueryOutcome], int]:
    """Ask for tasks: several in one request where the provider answers so, one by one otherwise and for what it left
    out. Answers the outcomes in order, and how many requests they took."""
    told: dict[str, QueryOutcome] = {}
    if provider.many and len(task_ids) > 1:
        told = provider.query_many(task_ids)
    left = [task_id for task_id in task_ids if task_id not in told]
    told.update(zip(left, pool.map(provider.query, left), strict=True))
    return [told[task_id] for task_id in task_ids], len(left) + (len(left) < len(task_ids) or bool(provider.many))


def _by_list(provider: Provider, wanted: set[str], report: PollReport) -> dict[str, QueryOutcome]:
    """Read list pages until every wanted task was seen or a page comes short. New tasks shift pages while one reads,
    and a page may be refused as too long: what is not found is asked for one by one, so neither matters."""
    found: dict[str, QueryOutcome] = {}
    for number in range(1, MAX_PAGES + 1):
        page = provider.list_page(number, provider.list_page_size)
        report.requests += 1
        if isinstance(page, QueryFailed):
            break
        found.update({view.task_id: Found(view) for view in page.views if view.task_id in wanted})
        if wanted <= found.keys() or _is_last(page, provider.list_page_size):
            break
    return found


def _is_last(page: Page, size: int) -> bool:
    return page.rows < size


def _write(
    pipeline: Pipeline, account: Account, answers: Sequence[tuple[ScheduledAttempt, QueryOutcome]], report: PollReport
) -> None:
    if not answers:
        return
    failpoint("poll.after_query")
    failpoint("settle.before_write")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        seen = [observe(tx, pipeline, due, answer) for due, answer in answers]
        note_outcomes(tx, account, [answer for _, answer in answers])
        failpoint("settle.before_commit")
    failpoint("settle.after_commit")
    report.polled += len(answers)
    for (due, _), end in zip(answers, seen, strict=True):
        match end:
            case Observed.SUCCEEDED:
                report.succeeded.append(due.attempt.where)
            case Observed.FAILED:
                report.failed.append(due.attempt.where)
            case Observed.FAULT:
                report.faults.append(due.attempt.where)
            case Observed.RUNNING:
                pass
