"""The remaining slots, budgets and disk space of accounts while a plan is made, reserved in catalogue order, and the
user text of each block reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from extend_pipeline.base.days import day_bounds, day_of, zone_of
from extend_pipeline.base.units import from_micros
from extend_pipeline.base.wording import counted
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.disk_space import MAKE_ROOM, DiskSpace
from extend_pipeline.engine.plan.model import Blocker, PlanInput
from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, still_waits
from extend_pipeline.ledger.spending_rules import (
    NO_LIMITS,
    AccountTotals,
    BlockReason,
    BudgetLimits,
    Spending,
    block_reason,
)
from extend_pipeline.providers.protocol import RejectReason


@dataclass
class DiskBudget:
    """The remaining disk space during one plan, shared by all accounts."""

    space: DiskSpace | None
    taken: int = 0

    def blocker(self) -> Blocker | None:
        """Return why another result doesn't fit; None when it fits."""
        fits = None if self.space is None else self.space.fits()
        if self.space is None or fits is None or self.taken < fits:
            return None
        if self.space.error is not None:
            todo = "see above, then: extend-pipeline advance; in Dagster it goes on by itself"
            return Blocker(BlockReason.NO_DISK_SPACE, str(self.space.error), todo)
        if self.taken or self.space.frees_itself():
            todo = "nothing: it continues when the others are fetched; or make room"
            return Blocker(BlockReason.DISK_RESERVED, f"no room for another result: {self.space.describe()}", todo)
        return Blocker(BlockReason.NO_DISK_SPACE, f"no room for a result: {self.space.describe()}", MAKE_ROOM)


@dataclass
class AccountBudget:
    """The remaining slots and units of one account during one plan. The claim evaluates the same rules again in its
    transaction. `stated` are the blockers whose text is part of the plan input: of the ledger as a whole, and of this
    process."""

    account: Account
    totals: AccountTotals
    now_ms: int
    disk: DiskBudget
    stated: Mapping[BlockReason, Blocker]

    def try_reserve(self, price_micros: int) -> Blocker | None:
        """Reserve a slot and the units of a step, or return why the step is blocked."""
        spending = Spending(price_micros, self.account.submit_class, self.totals, self.now_ms)
        if (reason := block_reason(spending)) is not None:
            return self.stated.get(reason) or TEXTS[reason](self.account.name, spending)
        if (blocker := self.disk.blocker()) is not None:
            return blocker
        self.disk.taken += 1
        self.totals = self.totals.with_claim(price_micros)
        return None


def account_budget(account: Account, plan_input: PlanInput, disk: DiskBudget) -> AccountBudget:
    """Return the budget of an account at the beginning of a plan."""
    ledger, held = plan_input.ledger, plan_input.process_blockers.get(account.name)
    totals = plan_input.account_totals.get(account.name, AccountTotals())
    totals = replace(
        totals,
        limits=budget_limits(account, totals.zone),
        ledger_accepted=ledger is None,
        held=None if held is None else held.reason,
    )
    pairs = ((BlockReason.LEDGER, ledger), (totals.held, held))
    stated = {reason: blocker for reason, blocker in pairs if reason is not None and blocker is not None}
    return AccountBudget(account, totals, plan_input.now_ms, disk, stated)


def budget_limits(account: Account, zone: str) -> BudgetLimits:
    """Return the budget limits of an account; its days are those of the time zone `zone`."""
    budget = account.budget
    if budget is None:
        return NO_LIMITS
    return BudgetLimits(budget.per_day_micros, budget.total_micros, account.max_in_flight, budget.exposure_micros, zone)


def _paused(name: str, spending: Spending) -> Blocker:
    if spending.account.everything_paused:
        return Blocker(BlockReason.PAUSED, "everything is paused", "extend-pipeline resume")
    return Blocker(BlockReason.PAUSED, f"account {name} is paused", f"extend-pipeline resume {name}")


def stop_blocker(name: str, account: AccountTotals) -> Blocker:
    """Return the blocker of a stopped account."""
    reason, stopped = account.stopped_reason, account.stopped_message
    if reason == RejectReason.CLOCK.value:
        message = f"account {name} refuses requests because of this machine's clock: {stopped}"
        todo = "set the clock (NTP); the account continues automatically then"
        return Blocker(BlockReason.WRONG_CLOCK, message, todo)
    if reason in (RejectReason.CERTIFICATE.value, RejectReason.PROXY.value):
        todo = "set in accounts.yaml what it says; the account continues automatically then"
        return Blocker(BlockReason.ACCOUNT_STOPPED, f"account {name} is stopped: {stopped}", todo)
    message = f"account {name} is stopped ({reason}): {stopped}"
    return Blocker(BlockReason.ACCOUNT_STOPPED, message, f"fix it, then: extend-pipeline resume {name}")


def _no_budget(name: str, _spending: Spending) -> Blocker:
    message = f"account {name} has no budget, and without one nothing is spent"
    return Blocker(BlockReason.NO_BUDGET, message, "give budget.per_day and budget.total in accounts.yaml")


def _total_budget(name: str, spending: Spending) -> Blocker:
    limits, cost = spending.account.limits, from_micros(spending.price_micros)
    left = limits.total_micros - spending.account.committed_micros
    if spending.price_micros > left:
        message = f"account {name} has {_units(left)} of its total budget left, the step costs {cost}"
        return Blocker(BlockReason.TOTAL_BUDGET, message, "raise budget.total in accounts.yaml")
    message = f"one step costs {cost}, account {name} may spend {from_micros(limits.per_day_micros)} a day"
    return Blocker(BlockReason.TOTAL_BUDGET, message, "raise budget.per_day in accounts.yaml")


def _day_budget(name: str, spending: Spending) -> Blocker:
    zone, other_days = spending.account.zone, spending.account.other_days
    left = spending.account.limits.per_day_micros - spending.account.committed_today_micros
    message = f"account {name} has {_units(left)} left for today, the step costs {from_micros(spending.price_micros)}"
    tomorrow_ms = day_bounds(day_of(spending.now_ms, zone))[1]
    if not other_days:
        return Blocker(BlockReason.DAY_BUDGET, message, f"nothing: it continues tomorrow ({zone})", tomorrow_ms)
    # the full budget is available again on the first day that doesn't overlap any day of the earlier zone
    last_ms = max(day_bounds(day)[1] for day in other_days)
    whole = day_of(day_bounds(day_of(last_ms - 1, zone))[1], zone)
    listed = " and ".join(f"{day[:10]} ({zone_of(day)})" for day in other_days)
    message += f"; the timezone was changed, so what was spent on {listed} counts for today too"
    return Blocker(BlockReason.DAY_BUDGET, message, f"nothing: it continues by {whole[:10]} ({zone})", tomorrow_ms)


def _backoff(name: str, spending: Spending) -> Blocker:
    message = f"account {name} backs off for the moment: a submit was refused, or could not be sent"
    todo = "nothing: it is tried again; extend-pipeline doctor shows whether the provider can be reached"
    until_ms = spending.account.backing_off_until
    waits = until_ms is not None and still_waits(until_ms, spending.now_ms, longest_ms=MAX_BACKOFF_MS)
    return Blocker(BlockReason.BACKOFF, message, todo, until_ms if waits else None)


def _silent(name: str, spending: Spending) -> Blocker:
    submits = counted(spending.account.silent_submits, "submit")
    message = f"account {name} does not reply: {submits} in a row had no response, so nothing more is sent"
    todo = "nothing: it is asked less and less often, and continues when a query was answered"
    return Blocker(BlockReason.SILENT, message, todo, max(spending.account.ask_at, spending.now_ms))


def _slots(name: str, spending: Spending) -> Blocker:
    message = f"all {spending.account.limits.max_in_flight} slots of account {name} are in use"
    return Blocker(BlockReason.SLOTS, message, "nothing, or raise max_in_flight if your plan has more slots")


def _exposed(name: str, spending: Spending) -> Blocker:
    if spending.account.in_doubt_micros + spending.price_micros > spending.account.limits.exposure_micros:
        todo = "nothing: what is in doubt is looked up by its own key"
        return Blocker(BlockReason.EXPOSED, _in_doubt(name, spending), todo)
    message = f"account {name} may have {_units(spending.account.limits.exposure_micros)} exposed at a time"
    return Blocker(BlockReason.EXPOSED, message, "nothing: it continues when the responses to the others are there")


def _in_doubt_cap(name: str, spending: Spending) -> Blocker:
    cap = spending.account.limits.exposure_micros
    if spending.price_micros > cap:
        message = f"one step costs {from_micros(spending.price_micros)}, account {name} may have {_units(cap)} in doubt"
        return Blocker(BlockReason.IN_DOUBT_CAP, message, "raise budget.in_doubt in accounts.yaml")
    todo = "decide what is in doubt (extend-pipeline status), or raise budget.in_doubt in accounts.yaml"
    return Blocker(BlockReason.IN_DOUBT_CAP, _in_doubt(name, spending), todo)


def _in_doubt(name: str, spending: Spending) -> str:
    doubtful, cap = _units(spending.account.in_doubt_micros), from_micros(spending.account.limits.exposure_micros)
    cost = from_micros(spending.price_micros)
    return f"account {name} has {doubtful} in doubt, {cap} are allowed, a step costs {cost}"


def _units(micros: int) -> str:
    return counted(from_micros(micros), "unit")


TEXTS: Final[Mapping[BlockReason, Callable[[str, Spending], Blocker]]] = {
    BlockReason.PAUSED: _paused,
    BlockReason.ACCOUNT_STOPPED: lambda name, spending: stop_blocker(name, spending.account),
    BlockReason.NO_BUDGET: _no_budget,
    BlockReason.TOTAL_BUDGET: _total_budget,
    BlockReason.DAY_BUDGET: _day_budget,
    BlockReason.BACKOFF: _backoff,
    BlockReason.SILENT: _silent,
    BlockReason.SLOTS: _slots,
    BlockReason.EXPOSED: _exposed,
    BlockReason.IN_DOUBT_CAP: _in_doubt_cap,
}
"""Functions that make the user text of a block reason from the account's name and its spending."""
