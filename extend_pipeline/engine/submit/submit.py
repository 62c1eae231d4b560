"""Submit due steps: claim, mark as sending, POST once, record the outcome; always in this order."""

import contextlib
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED as FIRST
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.guards import contact
from extend_pipeline.engine.guards.ledger_look import look_at_home, look_inside, remember
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.model import DueStep, Plan
from extend_pipeline.engine.submit.prepare import PreparedSubmit, prepare_submit, to_request
from extend_pipeline.engine.submit.record_outcome import SubmitResult, record_outcome
from extend_pipeline.engine.submit.spool import UnrecordedError, spool_acceptances
from extend_pipeline.ledger.clock import lease_runs
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.spending_rules import MAX_SILENT_SUBMITS, BlockReason, BudgetLimits
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.claims import ClaimRefused, ClaimRequest, claim
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import (
    Accepted,
    Answer,
    Duplicate,
    Found,
    NotFound,
    QueryFailed,
    Rejected,
    RejectReason,
    Unknown,
)


@dataclass
class SubmitReport:
    """The results of one round of submits; lists of VIDEO/HOP."""

    accepted: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    in_doubt: list[str] = field(default_factory=list)
    refused: list[ClaimRefused] = field(default_factory=list)

    @property
    def posts(self) -> int:
        """Return the number of POSTs that were sent."""
        return len(self.accepted) + len(self.rejected) + len(self.in_doubt)


def submit_due(
    pipeline: Pipeline, plan: Plan, *, account: str | None = None, stop: threading.Event | None = None
) -> SubmitReport:
    """Submit the plan's due steps (of all accounts or of one), several at once, in waves. `stop` ends it after the
    current wave."""
    report = SubmitReport()
    size = pipeline.settings.max_submits
    steps = [step for step in plan.due if account in (None, step.video.account)]
    with ThreadPoolExecutor(max_workers=size, thread_name_prefix="submit") as pool:
        while steps and not (stop is not None and stop.is_set()):
            with pipeline.claiming:
                caps = pipeline.budget_limits()
                steps = [step for step in steps if step.video.account in caps]
                wave = steps[:size][: _free_results(pipeline)]
                if not wave:
                    break
                claims = _claim(pipeline, wave, caps, report)
            _send(pipeline, claims, pool, report)
            steps = [*claims.waiting, *steps[len(wave) :]]
    return report


def _free_results(pipeline: Pipeline) -> int | None:
    """Return for how many more results the disks have space now, none while films can't be written or one that is paid
    was not taken; None without a limit."""
    with pipeline.ledger.read() as connection:
        if job_queue.first_without_room(connection, pipeline.accounts) is not None:
            return 0
        awaited = queries.awaited(connection)
    return pipeline.disk_space(awaited=awaited).fits()


@dataclass(frozen=True, slots=True)
class _Wave:
    """The claims of one wave, the steps that wait for a reply to them, and each step by its attempt."""

    claimed: tuple[ClaimRequest, ...]
    waiting: list[DueStep]
    by_request: Mapping[str, PreparedSubmit]


def _claim(
    pipeline: Pipeline, steps: Sequence[DueStep], caps: Mapping[str, BudgetLimits], report: SubmitReport
) -> _Wave:
    by_request = {(ready := prepare_submit(pipeline, step)).request.attempt_id: ready for step in steps}
    lease_ms = int(pipeline.settings.lease_s * 1000)
    failpoint("submit.before_claim")
    now_ms = pipeline.now_ms()
    home = look_at_home(pipeline.settings)
    with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
        result = claim(
            tx,
            [ready.request for ready in by_request.values()],
            caps=caps,
            owner=pipeline.owner,
            lease_until=now_ms + lease_ms,
            ledger_accepted=look_inside(home, pipeline.ledger, tx.connection).may_spend,
            max_unanswered=MAX_SILENT_SUBMITS,
        )
        failpoint("submit.in_claim")
    remember(pipeline.settings, pipeline.ledger)
    failpoint("submit.after_claim")
    waiting = [refused for refused in result.refused if result.claimed and refused.reason is BlockReason.SILENT]
    report.refused.extend(refused for refused in result.refused if refused not in waiting)
    return _Wave(result.claimed, [by_request[refused.request.attempt_id].step for refused in waiting], by_request)


def _send(pipeline: Pipeline, wave: _Wave, pool: ThreadPoolExecutor, report: SubmitReport) -> None:
    """Mark the claims as sending, send each once and record the outcomes."""
    grouped = [request for request in wave.claimed if request.submit_class == "A"]
    alone = [request for request in wave.claimed if request.submit_class != "A"]
    futures: list[Future[SubmitResult]] = []
    marked: set[str] = set()
    # after a crash no look-up resolves the doubts of the others, so each of them is marked just before its own POST
    try:
        for group in (grouped, *([request] for request in alone)):
            sendable, lease_until = _mark_sending(pipeline, group)
            marked.update(request.attempt_id for request in group)
            futures += [pool.submit(_post, pipeline, wave.by_request[r.attempt_id], lease_until) for r in sendable]
    except BaseException:
        _release_unsent(pipeline, [request for request in wave.claimed if request.attempt_id not in marked])
        raise
    finally:
        # where the ledger fails in the middle of a wave, the POSTs in flight are paid, and their outcomes are recorded
        _record_all(pipeline, futures, report)


def _release_unsent(pipeline: Pipeline, requests: Sequence[ClaimRequest]) -> None:
    """Release claims that will not be sent, so that no worker waits for their leases. Where the ledger can't be
    written, the leases expire instead."""
    data = {"error_reason": "unsent", "error_message": "its process ended before it was sent"}
    with contextlib.suppress(Exception), pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for request in requests:
            transitions.move(
                tx, request.attempt_id, to=AttemptState.RELEASED, expect=frozenset({AttemptState.CLAIMED}), data=data
            )


def _mark_sending(pipeline: Pipeline, requests: Sequence[ClaimRequest]) -> tuple[list[ClaimRequest], int]:
    """Commit that these may be in flight from now on; return those whose claim was still ours, and the end of their
    lease (UTC ms)."""
    if not requests:
        return [], 0
    failpoint("submit.before_sending")
    now_ms = pipeline.now_ms()
    lease_until = now_ms + int(pipeline.settings.lease_s * 1000)
    with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
        tx.expect([request.attempt_id for request in requests])
        moves = {
            request.attempt_id: transitions.mark_sending(
                tx, request.attempt_id, owner=pipeline.owner, lease_until=lease_until
            )
            for request in requests
        }
    failpoint("submit.after_sending")
    return [request for request in requests if isinstance(moves[request.attempt_id], Moved)], lease_until


def _post(pipeline: Pipeline, ready: PreparedSubmit, lease_until: int) -> SubmitResult:
    request = ready.request
    begun_ms = lease_until - int(pipeline.settings.lease_s * 1000)
    ends_ms = lease_until - int(pipeline.settings.post_deadline_s * 1000)
    if not lease_runs(begun_ms, ends_ms + 1, pipeline.now_ms()):
        # after such a pause another worker may have looked for the task, found none and decided
        answer = Answer("its process was stopped until its lease had nearly run out, or its clock went back: not sent")
        return SubmitResult(request, Rejected(RejectReason.UNSENT, answer))
    provider = pipeline.provider(request.account)
    outcome = provider.submit(to_request(pipeline, ready.step, request.external_task_id, ready.token))
    failpoint("submit.after_post")
    found = provider.find(request.external_task_id) if isinstance(outcome, Duplicate) and provider.can_find else None
    return SubmitResult(request, outcome, found)


def _record_all(pipeline: Pipeline, futures: Sequence[Future[SubmitResult]], report: SubmitReport) -> None:
    """Record outcomes as they arrive; those that arrive together share a commit. No task id waits for another POST."""
    pending = set(futures)
    crashed: BaseException | None = None
    while pending:
        try:
            done, pending = wait(pending, return_when=FIRST)
        except BaseException as cancelled:  # noqa: BLE001 - the POSTs continue, and their outcomes count
            crashed = cancelled
            continue
        results = []
        for future in done:
            if (error := future.exception()) is not None:
                crashed = error  # its attempt stays `sending` and becomes in_doubt; the others are recorded first
            else:
                results.append(future.result())
        if not results:
            continue
        try:
            failpoint("submit.before_outcome")
            now_ms = pipeline.now_ms()
            with pipeline.ledger.write(now_ms=now_ms, actor=pipeline.owner) as tx:
                accepted = [
                    (result.request.account, result.outcome.task_id)
                    for result in results
                    if isinstance(result.outcome, Accepted)
                ]
                tx.expect([result.request.attempt_id for result in results], accepted)
                for result in results:
                    record_outcome(tx, result, pipeline.accounts[result.request.account])
                for name in dict.fromkeys(result.request.account for result in results):
                    outcomes = [result.outcome for result in results if result.request.account == name]
                    contact.note_submits(tx, name, outcomes)
            failpoint("submit.after_outcome")
        except BaseException as error:  # noqa: BLE001 - full disk, lost database, Ctrl-C: the task is paid
            crashed = UnrecordedError(spool_acceptances(pipeline, results), error)
            continue
        for result in results:
            _add_to_report(report, result)
    if crashed is not None:
        raise crashed


def _add_to_report(report: SubmitReport, result: SubmitResult) -> None:
    where = f"{result.request.video_key}/{result.request.hop}"
    match result.outcome:
        case Accepted():
            report.accepted.append(where)
        case Rejected():
            report.rejected.append(where)
        case Duplicate():
            match result.found:
                case Found():
                    report.accepted.append(where)
                case NotFound() | QueryFailed() | None:
                    report.in_doubt.append(where)
        case Unknown():
            report.in_doubt.append(where)
