"""How much an account may still take on: slots and budgets, handed out in catalogue order while a plan is made."""

from __future__ import annotations

from dataclasses import dataclass

from extend_pipeline.base.days import day_bounds, day_of, zone_of
from extend_pipeline.base.units import from_micros
from extend_pipeline.base.wording import counted
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.disk_space import MAKE_ROOM, DiskSpace
from extend_pipeline.engine.plan.model import AccountView, Blocker, BlockReason
from extend_pipeline.ledger.clock import MAX_BACKOFF_MS, still_waits
from extend_pipeline.providers.protocol import RejectReason


@dataclass
class DiskBudget:
    """What is left of the disks during one plan, shared by all accounts."""

    space: DiskSpace | None
    taken: int = 0

    def blocker(self) -> Blocker | None:
        """Why no further result has room; None where one has."""
        fits = None if self.space is None else self.space.fits()
        if self.space is None or fits is None or self.taken < fits:
            return None
        if self.taken or self.space.frees_itself():
            todo = "nothing: it goes on when the others are fetched; or make room"
            return Blocker(BlockReason.DISK_RESERVED, f"no room for another result: {self.space.describe()}", todo)
        return Blocker(BlockReason.NO_DISK_SPACE, f"no room for a result: {self.space.describe()}", MAKE_ROOM)


@dataclass
class AccountBudget:
    """What is left of one account during one plan. The claim checks the same again, alone."""

    account: Account
    view: AccountView
    now_ms: int
    everything_paused: bool
    disk: DiskBudget
    held: Blocker | None = None
    ledger: Blocker | None = None
    taken_slots: int = 0
    taken_micros: int = 0

    def standing(self) -> Blocker | None:
        """What holds the whole account, whatever a step costs."""
        name = self.account.name
        if self.ledger is not None:
            return self.ledger
        if self.everything_paused or self.view.paused:
            what = "everything is" if self.everything_paused else f"account {name} is"
            todo = "extend-pipeline resume" if self.everything_paused else f"extend-pipeline resume {name}"
            return Blocker(BlockReason.PAUSED, f"{what} paused", todo)
        if self.view.stopped_reason == RejectReason.CLOCK.value:
            message = f"account {name} refuses what this machine's clock dates: {self.view.stopped_message}"
            return Blocker(
                BlockReason.WRONG_CLOCK, message, "set the clock (NTP); it goes on by itself once it is right"
            )
        if self.view.stopped_reason in (RejectReason.CERTIFICATE.value, RejectReason.PROXY.value):
            message = f"account {name} is stopped: {self.view.stopped_message}"
            todo = "set in accounts.yaml what it says; it goes on by itself then"
            return Blocker(BlockReason.ACCOUNT_STOPPED, message, todo)
        if self.view.stopped_reason is not None:
            message = f"account {name} is stopped ({self.view.stopped_reason}): {self.view.stopped_message}"
            return Blocker(BlockReason.ACCOUNT_STOPPED, message, f"mend it, then: extend-pipeline resume {name}")
        if self.held is not None:
            return self.held
        if self.account.budget is None:
            message = f"account {name} has no budget, and without one nothing is spent"
            return Blocker(BlockReason.NO_BUDGET, message, "give budget.per_day and budget.total in accounts.yaml")
        return None

    def take(self, price: int) -> Blocker | None:
        """Take a slot and `price` micro-units, or say why not."""
        held = self.standing() or self._over_budget(price)
        if held is not None:
            return held
        view, name = self.view, self.account.name
        until_ms = view.backing_off_until
        if until_ms is not None and still_waits(until_ms, self.now_ms, longest_ms=MAX_BACKOFF_MS):
            message = f"account {name} rests for the moment: a submit was refused, or could not be sent"
            todo = "nothing: it is tried again; whether the provider answers, says extend-pipeline doctor"
            return Blocker(BlockReason.BACKOFF, message, todo, until_ms)
        free = 1 if view.probing else self.account.max_in_flight - view.in_flight
        if self.taken_slots >= min(free, self.account.max_in_flight - view.in_flight):
            message = f"all {self.account.max_in_flight} slots of account {name} are in use"
            return Blocker(BlockReason.SLOTS, message, "nothing, or raise max_in_flight if your plan has more slots")
        if (held := self._at_stake(price) or self.disk.blocker()) is not None:
            return held
        self.disk.taken += 1
        self.taken_slots += 1
        self.taken_micros += price
        return None

    def _at_stake(self, price: int) -> Blocker | None:
        """Whether the step would put more at stake at a time than is allowed. What is being sent is over in a moment;
        what is in doubt may need somebody."""
        budget, name, view = self.account.budget, self.account.name, self.view
        assert budget is not None
        cap, cost = budget.exposure_micros, from_micros(price)
        if price > cap:
            message = f"one step costs {cost}, account {name} may have {counted(from_micros(cap), 'unit')} in doubt"
            return Blocker(BlockReason.IN_DOUBT_CAP, message, "raise budget.in_doubt in accounts.yaml")
        if view.in_doubt_micros + price > cap:
            doubtful = counted(from_micros(view.in_doubt_micros), "unit")
            message = f"account {name} has {doubtful} in doubt, {from_micros(cap)} are allowed, a step costs {cost}"
            if self.account.submit_class == "A" and view.in_doubt_micros:
                return Blocker(BlockReason.AT_STAKE, message, "nothing: what is in doubt is looked up by its own key")
            todo = "decide what is in doubt (extend-pipeline status), or raise budget.in_doubt in accounts.yaml"
            return Blocker(BlockReason.IN_DOUBT_CAP, message, todo)
        if view.in_doubt_micros + view.sending_micros + self.taken_micros + price > cap:
            message = f"account {name} may have {counted(from_micros(cap), 'unit')} on the way at a time"
            return Blocker(BlockReason.AT_STAKE, message, "nothing: it goes on when the others are answered")
        return None

    def _over_budget(self, price: int) -> Blocker | None:
        budget, name = self.account.budget, self.account.name
        assert budget is not None
        cost = from_micros(price)
        left = budget.total_micros - self.view.committed_micros - self.taken_micros
        if price > left:
            units = counted(from_micros(left), "unit")
            message = f"account {name} has {units} of its total budget left, the step costs {cost}"
            return Blocker(BlockReason.TOTAL_BUDGET, message, "raise budget.total in accounts.yaml")
        if price > budget.per_day_micros:
            message = f"one step costs {cost}, account {name} may spend {from_micros(budget.per_day_micros)} a day"
            return Blocker(BlockReason.TOTAL_BUDGET, message, "raise budget.per_day in accounts.yaml")
        left = budget.per_day_micros - self.view.committed_today_micros - self.taken_micros
        if price > left:
            message = f"account {name} has {counted(from_micros(left), 'unit')} left for today, the step costs {cost}"
            return self._until_tomorrow(message)
        return None

    def _until_tomorrow(self, message: str) -> Blocker:
        zone, other_days = self.view.zone, self.view.other_days
        tomorrow_ms = day_bounds(day_of(self.now_ms, zone))[1]
        if not other_days:
            return Blocker(BlockReason.DAY_BUDGET, message, f"nothing: it goes on tomorrow ({zone})", tomorrow_ms)
        # a budget is whole again on the first day that no day of the other zone reaches into
        last_ms = max(day_bounds(day)[1] for day in other_days)
        whole = day_of(day_bounds(day_of(last_ms - 1, zone))[1], zone)
        listed = " and ".join(f"{day[:10]} ({zone_of(day)})" for day in other_days)
        message += f"; the timezone was changed, so what was spent on {listed} counts for today too"
        todo = f"nothing: it goes on by {whole[:10]} ({zone})"
        return Blocker(BlockReason.DAY_BUDGET, message, todo, tomorrow_ms)
