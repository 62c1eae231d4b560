"""Recover from crashes and unclear responses. Sends only queries, never a request that could cost."""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.doubt.callback_lookup import look_into_callbacks
from extend_pipeline.engine.doubt.late_callbacks import look_into_late_callbacks
from extend_pipeline.engine.guards import contact
from extend_pipeline.engine.guards.keys import note_outcomes, try_other_keys
from extend_pipeline.engine.home import Pipeline, owner_is_gone
from extend_pipeline.engine.plan import hop_state
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.lease import released_on_error
from extend_pipeline.engine.submit.record_outcome import belongs, in_doubt
from extend_pipeline.engine.submit.spool import replay_spool
from extend_pipeline.ledger.clock import is_ahead, lease_runs
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import MAX_SILENT_SUBMITS
from extend_pipeline.ledger.states import POLLED
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.hints import contacts, job_queue
from extend_pipeline.ledger.write.hints.job_queue import Unscheduled
from extend_pipeline.ledger.write.hints.webhook_inbox import ENDED
from extend_pipeline.ledger.write.transitions import Moved
from extend_pipeline.providers.protocol import Found, NotFound, QueryFailed, QueryOutcome
from extend_pipeline.providers.registry import spec_of

HINTED: Final = frozenset({*POLLED, S.SUCCEEDED, S.IN_DOUBT})
"""States that end only when a worker looks; a doubt only where it can be looked up by its own key."""

_NO_CONTROL: Final = LastLook(
    "no control: no task of this account is known to exist, so a look-up that finds nothing proves nothing",
    LookCause.NO_CONTROL,
)


@dataclass
class RecoverReport:
    """The results of one round of recovery; lists of VIDEO/HOP."""

    released: list[str] = field(default_factory=list)
    put_in_doubt: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    proved_absent: list[str] = field(default_factory=list)


def recover(pipeline: Pipeline, *, accounts: Collection[str] | None = None) -> RecoverReport:
    """Replay the spool, end the leases of dead processes, and look up the attempts in doubt: first the tasks that
    callbacks named, then by our own keys."""
    report = recover_home(pipeline)
    look_up(pipeline, pipeline.accounts if accounts is None else accounts, report)
    return report


def recover_home(pipeline: Pipeline) -> RecoverReport:
    """Replay the spool, end the leases of dead processes and restore lost hints. Sends nothing."""
    report = RecoverReport()
    report.found += replay_spool(pipeline)
    _end_leases(pipeline, report)
    release_dead_leases(pipeline)
    _restore_hints(pipeline)
    return report


def look_up(pipeline: Pipeline, accounts: Collection[str], report: RecoverReport) -> None:
    """Look up the attempts in doubt of the accounts: first the tasks that callbacks named, then by our own keys. An
    account that does not reply is sent one free query at most."""
    without_key = pipeline.without_key()
    names = [name for name in accounts if name not in without_key]
    try_other_keys(pipeline, names)
    names = contact.ask_silent(pipeline, names)
    report.found += look_into_callbacks(pipeline, names)
    report.found += look_into_late_callbacks(pipeline, names)
    _look_up(pipeline, names, report)


def wants_look_up(pipeline: Pipeline) -> tuple[frozenset[str], frozenset[str]]:
    """Return the accounts that have something to look up or are to be asked whether they reply, and those that are
    stopped."""
    late = schedule.callback_waits(pipeline.settings, pipeline.accounts)
    with pipeline.ledger.read() as connection:
        rows, known = queries.accounts(connection), queries.contacts(connection)
        names = {*queries.predicted_in(connection, (S.IN_DOUBT,))}
        names |= job_queue.read_queue(connection, now_ms=pipeline.now_ms()).due(ENDED, late)
        waiting = contact.waits(pipeline, connection)
    stopped = {name for name, row in rows.items() if row.stopped_reason is not None}
    names |= stopped | {name for name, row in rows.items() if row.silent_submits >= MAX_SILENT_SUBMITS}
    names |= {name for name, row in known.items() if row.silences}
    usable = pipeline.accounts.keys() - pipeline.without_key().keys()
    return frozenset(names & usable - waiting.keys()), frozenset(stopped & usable)


def lease_is_over(row: AttemptRow, now_ms: int) -> bool:
    """Return whether no process works on a claim any more: its lease has expired, a clock that was ahead began it, or
    its process is known to have ended."""
    return _has_expired(row, now_ms) or owner_is_gone(row.owner)


def _has_expired(row: AttemptRow, now_ms: int) -> bool:
    begun_ms = row.claimed_at if row.sending_at is None else row.sending_at
    return not lease_runs(begun_ms, row.lease_until, now_ms)


def _end_leases(pipeline: Pipeline, report: RecoverReport) -> None:
    with pipeline.ledger.read() as connection:
        claims = queries.attempts_in(connection, (S.CLAIMED, S.SENDING))
    expired = [row for row in claims if row.owner != pipeline.owner and lease_is_over(row, pipeline.now_ms())]
    expired += [row for row in claims if row.owner == pipeline.owner and _has_expired(row, pipeline.now_ms())]
    if not expired:
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for row in expired:
            _end_lease(tx, pipeline, row, report)


def release_dead_leases(pipeline: Pipeline) -> None:
    """Make due now the attempts that are leased by ended processes of this host."""
    with pipeline.ledger.read() as connection:
        leased = job_queue.leases_by_owner(connection)
    dead = [owner for owner in leased if owner != pipeline.owner and owner_is_gone(owner)]
    if dead:
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            for owner in dead:
                job_queue.release(tx, leased[owner], owner=owner)


def _end_lease(tx: LedgerTransaction, pipeline: Pipeline, row: AttemptRow, report: RecoverReport) -> None:
    where = f"{row.video_key}/{row.hop}"
    if transitions.state_of(tx, row.attempt_id) is S.SENDING:
        account = pipeline.accounts.get(row.account)
        cause = "the process that was sending it ended before the response was recorded"
        if account is not None:
            in_doubt(tx, row, account, cause, None)
            # that process may have waited for a provider that does not reply; the next reply ends the count
            contacts.silent_submits(tx, row.account, 1)
            report.put_in_doubt.append(where)
        return
    data = {"error_reason": "unsent", "error_message": "the process that had claimed it ended before it sent anything"}
    if isinstance(transitions.move(tx, row.attempt_id, to=S.RELEASED, expect=frozenset({S.CLAIMED}), data=data), Moved):
        report.released.append(where)


def _restore_hints(pipeline: Pipeline) -> None:
    """Schedule paid attempts whose hint was lost, for example because the ledger was rebuilt from its events."""
    with pipeline.ledger.read() as connection:
        rows = [row for row in job_queue.unscheduled(connection, HINTED) if _wants_hint(pipeline, row)]
    if not rows:
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for row in rows:
            transitions.schedule(tx, row.attempt_id, account=row.account, due_at=tx.now_ms, while_in=HINTED)


def _wants_hint(pipeline: Pipeline, row: Unscheduled) -> bool:
    account = pipeline.accounts.get(row.account)
    return account is not None and (
        row.state is not S.IN_DOUBT or hop_state.looked_up_by_key(account, row.submit_class)
    )


def _look_up(pipeline: Pipeline, names: list[str], report: RecoverReport) -> None:
    """Look up attempts in doubt by their own key, which only class A accounts take."""
    keyed = {name: pipeline.accounts[name] for name in names if pipeline.accounts[name].submit_class == "A"}
    waits = schedule.lookup_waits(pipeline.settings, keyed)
    if not job_queue.has_due(pipeline.ledger, now_ms=pipeline.now_ms(), states=(S.IN_DOUBT,), accounts=waits):
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        leased = job_queue.lease_due(
            tx,
            states=(S.IN_DOUBT,),
            accounts=waits,
            lease_ms=schedule.lookup_lease_ms(pipeline.settings),
            limit=200,
            owner=pipeline.owner,
        )
    attempts = [due.attempt for due in leased]
    with released_on_error(pipeline, [attempt.attempt_id for attempt in attempts]):
        _look_up_attempts(pipeline, attempts, report)


def _look_up_attempts(pipeline: Pipeline, rows: list[AttemptRow], report: RecoverReport) -> None:
    rows = [row for row in rows if hop_state.looked_up_by_key(pipeline.accounts[row.account], row.submit_class)]
    failpoint("recover.before_lookup")
    with ThreadPoolExecutor(max_workers=pipeline.settings.max_polls, thread_name_prefix="recover") as pool:
        outcomes = list(pool.map(lambda row: pipeline.provider(row.account).find(row.external_task_id), rows))
    failpoint("recover.after_lookup")
    looked_up = list(zip(rows, outcomes, strict=True))
    # found tasks are recorded first, because each can serve as the control for those that were not found
    _decide_lookups(pipeline, [(row, outcome) for row, outcome in looked_up if isinstance(outcome, Found)], {}, report)
    absent = {row.account for row, outcome in looked_up if isinstance(outcome, NotFound)}
    controls = {name: _control_lookup(pipeline, name) for name in absent}
    _decide_lookups(
        pipeline, [(row, outcome) for row, outcome in looked_up if not isinstance(outcome, Found)], controls, report
    )


def _decide_lookups(
    pipeline: Pipeline,
    looked_up: Sequence[tuple[AttemptRow, QueryOutcome]],
    controls: Mapping[str, LastLook | None],
    report: RecoverReport,
) -> None:
    if not looked_up:
        return
    with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
        for row, outcome in looked_up:
            _decide_lookup(tx, pipeline.accounts[row.account], row, outcome, controls.get(row.account), report)
            note_outcomes(tx, pipeline.accounts[row.account], [outcome])
        for name in {row.account for row, _ in looked_up}:
            outcomes = [outcome for row, outcome in looked_up if row.account == name]
            contact.note_queries(tx, pipeline.accounts[name], outcomes, pipeline.settings)


def _control_lookup(pipeline: Pipeline, account: str) -> LastLook | None:
    """Look up a task that is known to exist by the same route: the positive control. Return None where it is found,
    else the result to record for look-ups that found nothing."""
    since = pipeline.now_ms() - spec_of(pipeline.accounts[account].provider).result_life_ms
    with pipeline.ledger.read() as connection:
        known = queries.known_key(connection, account, at_least_ms=since)
    if known is None:
        return _NO_CONTROL
    match pipeline.provider(account).find(known.external_task_id):
        case Found(view) if view.task_id == known.task_id:
            return None
        case Found():
            return LastLook("the control look-up found another task than the one that is known")
        case NotFound():
            return LastLook("the look-up doesn't find a task that is known to exist either, so it proves nothing")
        case QueryFailed(_, answer):
            return LastLook(f"the control look-up got no response: {answer.message}")


def has_settled(in_doubt_at: int | None, now_ms: int, account: Account, *, absences: int) -> bool:
    """Return whether the settle window of a doubt is over, after `absences` not-found results that were a gap apart.
    Where the doubt is dated in the future, a clock was wrong, so the gaps between the absences are counted instead."""
    settle_ms = account.in_doubt.settle_s * 1000
    if is_ahead(in_doubt_at, now_ms):
        return (absences - 1) * schedule.lookup_gap_ms(account) >= settle_ms
    return in_doubt_at is not None and now_ms - in_doubt_at >= settle_ms


def _decide_lookup(
    tx: LedgerTransaction,
    account: Account,
    row: AttemptRow,
    outcome: QueryOutcome,
    control: LastLook | None,
    report: RecoverReport,
) -> None:
    where = f"{row.video_key}/{row.hop}"
    gap_ms = schedule.lookup_gap_ms(account)
    match outcome:
        case Found(view) if belongs(view, row.external_task_id, row.parent_video_id):
            # polled at once, because it may have ended long ago
            moved = transitions.submitted(tx, row.attempt_id, task_id=view.task_id, found_by="lookup", due_at=tx.now_ms)
            if isinstance(moved, Moved):
                report.found.append(where)
                return
            look = _foreign(f"{view.task_id}, which another attempt holds")
        case Found(view):
            look = _foreign(f"{view.task_id}, which is not made from {row.parent_video_id}")
        case NotFound() if control is not None:
            look = control
        case NotFound():
            count = transitions.absent(tx, row.attempt_id, min_gap_ms=gap_ms)
            settled = has_settled(row.in_doubt_at, tx.now_ms, account, absences=count)
            if settled and count >= account.in_doubt.absences:
                transitions.move(tx, row.attempt_id, to=S.RELEASED, expect=frozenset({S.IN_DOUBT}))
                transitions.unschedule(tx, row.attempt_id)
                report.proved_absent.append(where)
                return
            look = LastLook(f"not found {count} times", LookCause.NOT_FOUND)
        case QueryFailed(fault, answer):
            look = LastLook(f"{fault.value}: {answer.message}")
    due_at = schedule.next_lookup(account, tx.now_ms)
    transitions.schedule(tx, row.attempt_id, account=account.name, due_at=due_at, look=look, while_in=(S.IN_DOUBT,))


def _foreign(task: str) -> LastLook:
    return LastLook(f"its key was found on task {task}", LookCause.FOREIGN_TASK)
