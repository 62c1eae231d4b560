"""Poll the tasks that are in flight and due, and record their states. The cost grows with the tasks in flight, not with
the history."""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards import contact
from extend_pipeline.engine.guards.clock import lift_own_stops
from extend_pipeline.engine.guards.keys import note_outcomes
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.apply_task_state import Observed, is_unchanged, observe
from extend_pipeline.engine.polling.lease import release_leases, released_on_error
from extend_pipeline.ledger.read.attempt_row import DueAttempt
from extend_pipeline.ledger.states import POLLED
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.ledger.write.hints.job_queue import MaxWaits
from extend_pipeline.providers.protocol import Found, Provider, QueryFailed, QueryOutcome, TaskView

MAX_QUERIED_A_ROUND: Final = 2_000  # tasks, so that the queries are over before their leases; a later round takes more
MAX_LISTED_A_ROUND: Final = 20_000  # tasks: forty full pages, and a lease of half a second under the write lock

LIST_WORTH: Final = 8
"""With this many due tasks or more, list pages (one request each) cost less than one query a task."""


@dataclass
class PollReport:
    """The results of one round of polling."""

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
    may_continue: Callable[[], bool] = lambda: True,
) -> PollReport:
    """Poll every due task of the accounts (all by default), by list pages or by bounded concurrent GETs. Accounts whose
    key this process lacks are left to other processes; an account that was stopped because of this machine's clock,
    certificate or proxy is tried first, and one that does not reply is sent one free query at most. `may_continue` is
    called before each batch of single queries; False ends the round."""
    report = PollReport()
    without_key = pipeline.without_key()
    names = [name for name in (pipeline.accounts if accounts is None else accounts) if name not in without_key]
    polled = {name: pipeline.accounts[name] for name in names}
    lift_own_stops(pipeline, polled)
    polled = {name: polled[name] for name in contact.ask_silent(pipeline, names)}
    waits = schedule.poll_waits(pipeline.settings, polled)
    with pipeline.ledger.read() as connection:
        due = job_queue.read_queue(connection, now_ms=pipeline.now_ms(), videos=videos).due(POLLED, waits)
    if not due:
        return report
    with ThreadPoolExecutor(max_workers=pipeline.settings.max_polls, thread_name_prefix="poll") as pool:
        for name in sorted(due):
            leased = _lease(pipeline, name, waits[name], videos)
            failpoint("poll.before_query")
            with released_on_error(pipeline, [each.attempt_id for each in leased]):
                _poll_account(pipeline, pipeline.accounts[name], leased, pool, report, may_continue)
    return report


def _lease(pipeline: Pipeline, name: str, waits: MaxWaits, videos: Collection[str] | None) -> list[DueAttempt]:
    has_list = pipeline.provider(name).list_page_size > 0
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        return job_queue.lease_tasks(
            tx,
            accounts={name: waits},
            videos=videos,
            lease_ms=schedule.poll_lease_ms(pipeline.settings, [pipeline.accounts[name]]),
            limit=MAX_LISTED_A_ROUND if has_list else MAX_QUERIED_A_ROUND,
            owner=pipeline.owner,
        )


def _poll_account(
    pipeline: Pipeline,
    account: Account,
    leased: list[DueAttempt],
    pool: ThreadPoolExecutor,
    report: PollReport,
    may_continue: Callable[[], bool],
) -> None:
    provider = pipeline.provider(account.name)
    remaining = leased
    if provider.list_page_size and len(leased) >= LIST_WORTH:
        missing = {due.task: due for due in leased}
        for views in _pages(provider, missing, report):
            _record(pipeline, account, [(missing.pop(view.task_id), Found(view)) for view in views], report)
        remaining = list(missing.values())
        release_leases(pipeline, [due.attempt_id for due in remaining[MAX_QUERIED_A_ROUND:]])
        remaining = remaining[:MAX_QUERIED_A_ROUND]
    # a crash loses at most this many outcomes before their commit
    size = provider.query_batch_size or pipeline.settings.max_polls * 2
    for start in range(0, len(remaining), size):
        if not may_continue():
            release_leases(pipeline, [due.attempt_id for due in remaining[start:]])
            break
        part = remaining[start : start + size]
        outcomes, requests = _query(provider, [due.task for due in part], pool)
        report.requests += requests
        _record(pipeline, account, list(zip(part, outcomes, strict=True)), report)
        if not any(contact.has_reply(outcome) for outcome in outcomes):
            release_leases(pipeline, [due.attempt_id for due in remaining[start + size :]])
            break


def _query(provider: Provider, task_ids: list[str], pool: ThreadPoolExecutor) -> tuple[list[QueryOutcome], int]:
    """Query tasks: several in one request where the provider supports that, and the others one by one. Return the
    outcomes in order, and the number of requests."""
    outcomes: dict[str, QueryOutcome] = {}
    if provider.query_batch_size and len(task_ids) > 1:
        outcomes = provider.query_many(task_ids)
    single = [task_id for task_id in task_ids if task_id not in outcomes]
    outcomes.update(zip(single, pool.map(provider.query, single), strict=True))
    requests = len(single) + (len(single) < len(task_ids) or bool(provider.query_batch_size))
    return [outcomes[task_id] for task_id in task_ids], requests


def _pages(provider: Provider, missing: Collection[str], report: PollReport) -> Iterator[list[TaskView]]:
    """Yield the `missing` tasks of each list page, newest first, until none is missing, a page is short, or the pages
    together have found so few that queries of single tasks cost less. The caller takes what is found out of `missing`.
    New tasks may shift the pages meanwhile, and a page may be refused as too long."""
    found, number, worth = 0, 0, min(LIST_WORTH, provider.list_page_size)
    while missing and found >= number * worth:
        number += 1
        page = provider.list_page(number, provider.list_page_size, only=missing)
        report.requests += 1
        if isinstance(page, QueryFailed):
            return
        views = {view.task_id: view for view in page.views if view.task_id in missing}
        found += len(views)
        yield list(views.values())
        if page.rows < provider.list_page_size:
            return


def _record(
    pipeline: Pipeline, account: Account, outcomes: Sequence[tuple[DueAttempt, QueryOutcome]], report: PollReport
) -> None:
    if not outcomes:
        return
    failpoint("poll.after_query")
    failpoint("settle.before_write")
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        unchanged, news = [], []
        for due, outcome in outcomes:
            if is_unchanged(due, outcome, tx.now_ms):
                unchanged.append(due.attempt_id)
            else:
                news.append((due, outcome))
        tx.expect([due.attempt_id for due, _ in news])
        observed = [observe(tx, account, due, outcome) for due, outcome in news]
        job_queue.still_running(tx, unchanged, due_at=_next_poll(account, tx.now_ms))
        note_outcomes(tx, account, [outcome for _, outcome in outcomes])
        contact.note_queries(tx, account, [outcome for _, outcome in outcomes], pipeline.settings)
        failpoint("settle.before_commit")
    failpoint("settle.after_commit")
    report.polled += len(outcomes)
    for (due, _), state in zip(news, observed, strict=True):
        match state:
            case Observed.SUCCEEDED:
                report.succeeded.append(due.where)
            case Observed.FAILED:
                report.failed.append(due.where)
            case Observed.FAULT:
                report.faults.append(due.where)
            case Observed.RUNNING:
                pass


def _next_poll(account: Account, now_ms: int) -> int:
    """Return when tasks that a query showed together are polled again: together, so that one page shows them again."""
    return schedule.next_poll(account, tries=0, retry_after_s=0, now_ms=now_ms, jitter=random.uniform(-1, 1))
