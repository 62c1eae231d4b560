"""Do the work of a poll sensor's tick: poll the due tasks of some accounts, then find what a run would have to do."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from extend_pipeline.base.wording import counted
from extend_pipeline.engine.declarations import with_own_entries
from extend_pipeline.engine.doubt.recover import lease_is_over, release_dead_leases
from extend_pipeline.engine.fetch.collect import FETCHED
from extend_pipeline.engine.guards import contact
from extend_pipeline.engine.guards.keys import try_other_keys
from extend_pipeline.engine.guards.other_home import has_videos_of_others
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import VideoPlan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.poll import poll_due
from extend_pipeline.engine.store.watch import watch_store
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.rows import VideoRow
from extend_pipeline.ledger.states import AttemptState as S
from extend_pipeline.ledger.write.hints import job_queue
from extend_pipeline.ledger.write.hints.webhook_inbox import ENDED


def poll_accounts(pipeline: Pipeline, accounts: Sequence[str], *, deadline: float, clock: Callable[[], float]) -> int:
    """Poll the accounts side by side until `deadline` on `clock` (seconds), longest overdue first, so that one that
    does not reply costs no other its tick. Return how many tasks were polled. Those that were not reached follow in the
    next tick. Before, release what killed processes of this host have leased, so that it is due now."""

    def poll(name: str) -> int:
        if clock() >= deadline:
            return 0
        try_other_keys(pipeline, [name] if name not in pipeline.without_key() else [])
        return poll_due(pipeline, accounts=[name], may_continue=lambda: clock() < deadline).polled

    release_dead_leases(pipeline)
    with pipeline.ledger.read() as connection:
        due_at = queries.first_due(connection)
    now_ms = pipeline.now_ms()
    overdue_first = sorted(accounts, key=lambda name: due_at.get(name, now_ms))
    with ThreadPoolExecutor(pipeline.settings.max_polls, thread_name_prefix="account") as pool:
        return sum(pool.map(poll, overdue_first))


def what_is_due(pipeline: Pipeline, accounts: Sequence[str]) -> str:
    """Return what a run would have to do for the accounts now, in words; empty if nothing. Plans every unfinished
    video."""
    now_ms, ledger = pipeline.now_ms(), pipeline.ledger
    pollable = [name for name in accounts if name not in pipeline.without_key()]
    work = []
    watch_store(pipeline)  # because without a run nothing else would notice that files are missing
    with ledger.read() as connection:
        silent = contact.waits(pipeline, connection)
    replying = [name for name in pollable if name not in silent]
    fetches = schedule.fetch_waits(pipeline.settings, accounts)
    look_ups = schedule.lookup_waits(pipeline.settings, {name: pipeline.accounts[name] for name in replying})
    if job_queue.has_due(ledger, now_ms=now_ms, states=FETCHED, accounts=fetches):
        work.append("results to fetch")
    if job_queue.has_due(ledger, now_ms=now_ms, states=(S.IN_DOUBT,), accounts=look_ups):
        work.append("attempts in doubt to look up")
    callbacks = schedule.callback_waits(pipeline.settings, replying)
    if job_queue.has_due(ledger, now_ms=now_ms, states=sorted(ENDED), accounts=callbacks):
        work.append("callbacks for attempts that have ended")
    now = plan(plan_input(pipeline, unfinished=True, walk_running=0))
    with ledger.read() as connection:
        leased = queries.attempts_in(connection, (S.CLAIMED, S.SENDING))
        is_recorded = not has_videos_of_others(pipeline.configuration, connection, now_ms=now_ms)
        known = {row.video_key: row for row in queries.videos(connection, unfinished=True)} if is_recorded else {}
        planned = [video for video in now.videos if video.account in accounts]
        differing = [known[v.key] for v in planned if v.key in known and _state_differs(known[v.key], v)]
        changed = len(with_own_entries(pipeline, connection, differing))
    if any(row.account in accounts and lease_is_over(row, now_ms) for row in leased):
        work.append("leases that ended")
    steps = sum(step.video.account in accounts for step in now.due)
    if steps:
        work.append(f"{counted(steps, 'step')} to submit")
    if changed:
        work.append(f"{counted(changed, 'video')} whose state changed")
    return "; ".join(work)


def _state_differs(row: VideoRow, video: VideoPlan) -> bool:
    """Return whether a video's stored state or reason is out of date. Its detail is not compared, because it counts
    minutes."""
    if video.blocker is not None and video.blocker.reason.is_local:
        return False
    reason = video.blocker.reason.value if video.blocker else ""
    return (row.state, row.state_reason) != (video.state.value, reason)
