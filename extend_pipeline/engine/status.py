"""The status of a home for an operator: progress, costs, and what needs a decision."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from extend_pipeline.base.units import amount_micros, from_micros, from_ms
from extend_pipeline.base.wording import counted
from extend_pipeline.engine.fetch.retention import Expiring, Urgency, retention, urgent
from extend_pipeline.engine.guards.clock import OF_THIS_MACHINE, ledger_ahead_ms
from extend_pipeline.engine.guards.disk_space import DiskSpace
from extend_pipeline.engine.guards.process import Withdrawn, accounts_left_alone, mistakes, withdrawn_at_once
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.leftover_tasks import LeftoverTask, leftover_tasks
from extend_pipeline.engine.plan.budget import stop_blocker
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.model import Blocker, Plan
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling.deductions import LowerPrice, lower_prices_now
from extend_pipeline.engine.reconcile.last_reads import StatementStatus, statements_now
from extend_pipeline.engine.store.missing import AT_A_GLANCE, StoreNow, store_now
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries, reconciliation_queries
from extend_pipeline.ledger.read.account_totals import account_totals
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.rows import AccountRow, ReconciliationRow
from extend_pipeline.ledger.spending_rules import AccountTotals
from extend_pipeline.ledger.states import LIVE, AttemptState
from extend_pipeline.providers.registry import spec_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """The state of one account: units are in its own unit, amounts in its own currency."""

    account: str
    provider: str
    unit: str
    currency: str
    committed: Decimal
    committed_today: Decimal
    per_day: Decimal | None
    total: Decimal | None
    in_doubt: Decimal
    in_doubt_cap: Decimal | None
    amount: Decimal
    in_flight: int
    max_in_flight: int
    paused: bool
    stopped: str | None
    other_days: tuple[str, ...] = ()
    """Days of an earlier time zone of the home whose spending counts for today too."""
    silent_submits: int = 0
    silent_queries: int = 0
    """How many submits and queries in a row the provider has left without a reply."""
    asked_at_ms: int | None = None
    """When a provider that does not reply is asked again (UTC ms); None where it replies."""
    last_good: bool = False
    """Whether this is the last good entry of the account, because accounts.yaml doesn't give a valid one now."""
    stop: Blocker | None = None
    """Why it is stopped, and what to do."""
    stopped_message: str = ""
    """The provider's own words about the stop."""
    stop_id: str = ""
    """What tells this stop from another one of the account: its reason, and when it was made. A stop for a cause in
    this machine ends by itself and may come back each minute, so that its reason alone tells it."""

    @property
    def silence(self) -> str:
        """Return what shows that the provider does not reply, as a part of a sentence; empty where it replies."""
        if not self.silent_submits and not self.silent_queries:
            return ""
        kinds = ((self.silent_submits, "submit"), (self.silent_queries, "look"))
        counts = " and ".join(counted(count, noun) for count, noun in kinds if count)
        asked = "" if self.asked_at_ms is None else f"; asked again {from_ms(self.asked_at_ms):%Y-%m-%d %H:%M:%S} UTC"
        return f"no reply to {counts} in a row{asked}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """An attempt in doubt: its exposure, its age, and `path`, where its request was sent, below the account's base
    URL."""

    attempt: AttemptRow
    exposure: Decimal
    age_s: float
    path: str
    is_declared: bool = True
    """Whether the catalogue has its video, or may have it: a mistake in the files may hide it."""

    @property
    def sent_key(self) -> str:
        """Return our own key if the request carried it, else an empty text: without it the task can't be found by
        key."""
        key = self.attempt.external_task_id
        return key if key in self.attempt.request else ""


@dataclass(frozen=True, slots=True)
class Status:
    """The status of a home at one moment."""

    plan: Plan
    accounts: tuple[AccountStatus, ...]
    doubts: tuple[Doubt, ...]
    everything_paused: bool
    unknown_accounts: tuple[tuple[str, int], ...]
    """Accounts missing in accounts.yaml, with the number of paid or running attempts that can't be polled."""

    expiring: tuple[Expiring, ...] = ()
    """Paid results past half of their retention, and sources in their last week."""

    disagreements: tuple[ReconciliationRow, ...] = ()
    """Rows of `reconciliations` that the last comparison with the providers' statements left open."""

    orphans: tuple[AttemptRow, ...] = ()
    """Attempts of tasks that were adopted from a provider's statement and whose file is not stored yet."""

    disk: DiskSpace | None = None
    ledger_ahead_ms: int = 0
    """By how much the ledger's last event is dated after now, in milliseconds."""

    mistakes: tuple[str, ...] = ()
    """Mistakes in the catalogue and the accounts; while there are any, nothing is submitted."""

    left_alone: tuple[str, ...] = ()
    """Accounts with work that this process skips because it lacks their key."""

    unplanned: tuple[AttemptRow, ...] = ()
    """Open attempts of videos that a mistake in the files may hide; they are polled and fetched."""

    lower_prices: tuple[LowerPrice, ...] = ()
    """Charges below the prices of accounts.yaml."""

    statements: tuple[StatementStatus, ...] = ()
    """The providers' statements: when each was last read, and how much of it is unrelated."""

    leftover_tasks: tuple[LeftoverTask, ...] = ()
    """Paid tasks in no plan that need an operator: of videos that were removed from the catalogue, or that a mistake
    may hide."""

    withdrawn: Withdrawn | None = None
    """Unfinished videos that left the catalogue with so many others that it may be a mistake."""
    store: StoreNow = field(default_factory=lambda: StoreNow("", (), 0))
    """Whether the media store has the films that the ledger lists."""

    @property
    def exit_code(self) -> int:
        """Return the exit code: 0 finished or in progress; 1 something needs the operator; 2 the catalogue or the
        accounts have a mistake, or this process lacks a key that it needs."""
        if self.mistakes or self.left_alone:
            return 2
        stopped = any(account.stopped for account in self.accounts)
        left_behind = any(not doubt.is_declared for doubt in self.doubts)
        nearly_lost = any(
            item.what != "source" and item.urgency in (Urgency.LAST_HOUR, Urgency.OVER) for item in self.expiring
        )
        reasons = (
            self.plan.ledger,
            self.plan.needs_person,
            stopped,
            left_behind,
            self.everything_paused,
            self.unknown_accounts,
            nearly_lost,
            self.disagreements,
            self.leftover_tasks,
            self.withdrawn,
            any(statement.is_long_unavailable(self.plan.now_ms) for statement in self.statements),
            not self.store.is_complete,
        )
        return 1 if any(reasons) else 0


def status(pipeline: Pipeline, *, brief: bool = False, counts_running: bool = False) -> Status:
    """Read the status of a home; writes nothing. A `brief` one may count complete videos instead of planning them, and
    with `counts_running` those that wait for a task."""
    store = store_now(pipeline, limit=AT_A_GLANCE)
    pipeline.store_doubt = store.doubt
    read = plan_input(pipeline, brief=brief, walk_running=0 if counts_running else None)
    with pipeline.ledger.read() as connection:
        rows = queries.accounts(connection)
        open_accounts = queries.open_accounts(connection)
        live = queries.attempts_in(connection, LIVE) if pipeline.configuration.problems else []
        orphans = reconciliation_queries.adopted_not_stored(connection)
    unknown = Counter[str]()
    for (name, _), count in open_accounts.items():
        if name not in pipeline.accounts:
            unknown[name] += count
    everywhere = rows.get(tables.ALL_ACCOUNTS)
    planned = plan(read)
    catalogue = pipeline.configuration.catalogue.videos
    return Status(
        planned,
        accounts_now(pipeline),
        doubts_now(pipeline),
        bool(everywhere is not None and everywhere.paused),
        tuple(sorted(unknown.items())),
        tuple(urgent(retention(pipeline, planned))),
        disagreements_now(pipeline),
        tuple(orphans),
        mistakes=mistakes(pipeline),
        left_alone=accounts_left_alone(pipeline, planned),
        unplanned=tuple(row for row in live if not row.is_adopted and row.video_key not in catalogue),
        disk=read.disk,
        ledger_ahead_ms=ledger_ahead_ms(pipeline),
        lower_prices=lower_prices_now(pipeline),
        statements=statements_now(pipeline),
        leftover_tasks=leftover_tasks(pipeline),
        withdrawn=withdrawn_at_once(pipeline),
        store=store,
    )


def accounts_now(pipeline: Pipeline) -> tuple[AccountStatus, ...]:
    """Return the status of every account. Reads two small tables and the attempts in doubt; the cost doesn't depend on
    the number of videos."""
    with pipeline.ledger.read() as connection:
        zone = pipeline.configuration.timezone
        totals = account_totals(connection, pipeline.accounts, pipeline.now_ms(), zone=zone)
        rows = queries.accounts(connection)
    return tuple(_account(pipeline, name, totals[name], _stop_id(rows.get(name))) for name in pipeline.accounts)


def doubts_now(pipeline: Pipeline) -> tuple[Doubt, ...]:
    """Return all attempts in doubt, oldest claim first."""
    with pipeline.ledger.read() as connection:
        rows = queries.attempts_in(connection, (AttemptState.IN_DOUBT,))
    now_ms, accounts, catalogue = pipeline.now_ms(), pipeline.accounts, pipeline.configuration.catalogue.videos
    may_be_hidden = bool(pipeline.configuration.problems)  # such a catalogue doesn't show which videos have left it
    return tuple(
        Doubt(
            attempt=row,
            exposure=from_micros(row.predicted_micros),
            age_s=max(now_ms - (row.in_doubt_at or now_ms), 0) / 1000,
            path=spec_of(row.provider).submit_path(row.parent_video_id, accounts.get(row.account)),
            is_declared=may_be_hidden or row.video_key in catalogue,
        )
        for row in rows
    )


def disagreements_now(pipeline: Pipeline) -> tuple[ReconciliationRow, ...]:
    """Return the disagreements that the last comparisons with the providers' statements left open."""
    with pipeline.ledger.read() as connection:
        return tuple(reconciliation_queries.disagreements(connection))


def _stop_id(row: AccountRow | None) -> str:
    if row is None or row.stopped_reason is None:
        return ""
    return row.stopped_reason if row.stopped_reason in OF_THIS_MACHINE else f"{row.stopped_reason} {row.stopped_at}"


def _account(pipeline: Pipeline, name: str, totals: AccountTotals, stop_id: str) -> AccountStatus:
    account = pipeline.accounts[name]
    amount = amount_micros(units_micros=totals.committed_micros, unit_price_micros=account.price.unit_price_micros)
    stopped = f"{totals.stopped_reason}: {totals.stopped_message}" if totals.stopped_reason else None
    return AccountStatus(
        account=name,
        provider=account.provider,
        unit=account.price.unit,
        currency=account.price.currency,
        committed=from_micros(totals.committed_micros),
        committed_today=from_micros(totals.committed_today_micros),
        other_days=totals.other_days,
        per_day=from_micros(account.budget.per_day_micros) if account.budget else None,
        total=from_micros(account.budget.total_micros) if account.budget else None,
        in_doubt=from_micros(totals.in_doubt_micros),
        in_doubt_cap=from_micros(account.budget.exposure_micros) if account.budget else None,
        amount=from_micros(amount),
        in_flight=totals.in_flight,
        max_in_flight=account.max_in_flight,
        paused=totals.paused,
        stopped=stopped,
        silent_submits=totals.silent_submits,
        silent_queries=totals.silent_queries,
        asked_at_ms=totals.ask_at or None,
        stop=stop_blocker(name, totals) if totals.stopped_reason else None,
        stopped_message=totals.stopped_message or "",
        stop_id=stop_id,
        last_good=name not in pipeline.configuration.entries and bool(pipeline.configuration.last_good.get(name)),
    )
