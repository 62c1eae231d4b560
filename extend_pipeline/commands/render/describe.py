"""Plans and statuses as documents for --json: ids as strings, durations in seconds, times as ISO 8601 in UTC. `emit`
writes decimals as strings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from extend_pipeline.base.units import amount_micros, from_micros
from extend_pipeline.commands.render.text import iso, seconds, with_home_option
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.disk_space import DiskSpace
from extend_pipeline.engine.plan.model import Edit, Plan, VideoPlan
from extend_pipeline.engine.status import AccountStatus, Doubt, Status


@dataclass(frozen=True, slots=True)
class Cost:
    """A range of units of one account, and its amount in the account's currency. Never added across accounts."""

    account: str
    unit: str
    currency: str
    units: tuple[Decimal, Decimal]
    amount: tuple[Decimal, Decimal]

    def document(self) -> dict[str, Any]:
        """Return the cost for --json."""
        units, amount = _range(self.units), _range(self.amount)
        return {"unit": self.unit, "units": units, "currency": self.currency, "amount": amount}


def cost_of(account: Account, micros: tuple[int, int]) -> Cost:
    """Return the cost of a range of micro-units with an account."""
    price = account.price
    least, most = (
        from_micros(amount_micros(units_micros=units, unit_price_micros=price.unit_price_micros)) for units in micros
    )
    units = (from_micros(micros[0]), from_micros(micros[1]))
    return Cost(account.name, price.unit, price.currency, units, (least, most))


def start_unknown(video: VideoPlan) -> bool:
    """Return whether the number of hops to the target is unknown, because the length of the start is: the parent of a
    branch isn't made yet, or the source was not measured."""
    return video.current_ms is None and video.target_ms is not None


def totals(videos: Iterable[VideoPlan], accounts: Mapping[str, Account]) -> list[Cost]:
    """Return the remaining cost of each account, in the order of the accounts, without videos of unknown cost."""
    sums: dict[str, list[int]] = {}
    for video in videos:
        if video.micros_left is not None and not start_unknown(video):
            total = sums.setdefault(video.account, [0, 0])
            total[0] += video.micros_left[0]
            total[1] += video.micros_left[1]
    return [cost_of(accounts[name], (sums[name][0], sums[name][1])) for name in accounts if name in sums]


def plan_document(plan: Plan, accounts: Mapping[str, Account], *, home: Path | None) -> dict[str, Any]:
    """Return a plan for --json."""
    return {
        "as_of": iso(plan.now_ms),
        "ledger": None
        if plan.ledger is None
        else {"message": plan.ledger.message, "todo": with_home_option(plan.ledger.todo, home)},
        "videos": [_video(video, accounts[video.account], home) for video in plan.videos],
        "totals": [{"account": cost.account, **cost.document()} for cost in totals(plan.videos, accounts)],
        "not_in_totals": [video.key for video in plan.videos if start_unknown(video) or video.micros_left is None],
        "due": len(plan.due),
        "needs_person": len(plan.needs_person),
    }


def status_document(status: Status, accounts: Mapping[str, Account], *, home: Path | None) -> dict[str, Any]:
    """Return a status for --json."""
    return {
        **plan_document(status.plan, accounts, home=home),
        "accounts": [_account(account) for account in status.accounts],
        "in_doubt": [_doubt(doubt) for doubt in status.doubts],
        "everything_paused": status.everything_paused,
        "disk": None if status.disk is None else _disk(status.disk),
        "ledger_ahead_s": seconds(status.ledger_ahead_ms),
        "expiring": [
            {
                "what": result.what,
                "where": result.where,
                "account": result.account,
                "until": iso(result.ends_ms),
                "urgency": result.urgency.value,
                "note": result.note,
            }
            for result in status.expiring
        ],
        "orphans": [
            {"task_id": row.task_id, "account": row.account, "state": row.state, "error": row.error_message}
            for row in status.orphans
        ],
        "disagreements": [
            {
                "account": row.account,
                "book": row.source,
                "task_id": row.task_id,
                "verdict": row.verdict,
                "note": row.note,
            }
            for row in status.disagreements
        ],
        "mistakes": list(status.mistakes),
        "left_alone": list(status.left_alone),
        "unplanned": [
            {"video": row.video_key, "hop": row.hop, "account": row.account, "state": row.state}
            for row in status.unplanned
        ],
        "lower_prices": [
            {
                "account": lower.account,
                "price_key": lower.price_key,
                "unit": lower.unit,
                "charged": lower.charged,
                "predicted": lower.predicted,
                "since": iso(lower.first_at_ms),
                "line": lower.line,
            }
            for lower in status.lower_prices
        ],
        "statements": [
            {
                "account": statement.account,
                "book": statement.source,
                "read_at": iso(statement.read_at),
                "unread_since": iso(statement.unavailable_since),
                "why": statement.unavailable_message or "",
                "others": statement.others,
                "others_newest_at": iso(statement.others_newest_at),
            }
            for statement in status.statements
        ],
        "left_over": [
            {
                "extension": f"{task.video_key}/{task.hop}",
                "account": task.account,
                "task_id": task.task_id,
                "message": task.message,
                "todo": with_home_option(task.todo, home),
            }
            for task in status.leftover_tasks
        ],
        "store": {
            "doubt": status.store.doubt,
            "missing": [
                {
                    "where": file.where,
                    "role": file.role.value,
                    "account": file.account,
                    "path": file.path,
                    "cause": file.cause.value,
                    "state": file.state,
                    "since": iso(file.since),
                    "until": iso(file.expires_at),
                    "message": file.last_try,
                }
                for file in status.store.missing
            ],
        },
        "unknown_accounts": [{"account": name, "attempts": count} for name, count in status.unknown_accounts],
    }


def _disk(disk: DiskSpace) -> dict[str, Any]:
    return {
        "media": {"folder": disk.media, "free_bytes": disk.media_free, "needed_bytes": disk.needed},
        "state": {"folder": str(disk.state), "free_bytes": disk.state_free, "needed_bytes": disk.min_free_bytes},
        "awaited": disk.awaited,
        "short": disk.is_short,
    }


def _video(video: VideoPlan, account: Account, home: Path | None) -> dict[str, Any]:
    blocker, unknown = video.blocker, start_unknown(video)
    return {
        "video": video.key,
        "account": video.account,
        "provider": video.provider,
        "state": video.state.value,
        "hops_done": video.hops_done,
        "hops_left": None if unknown else {"least": video.hops_left[0], "most": video.hops_left[1]},
        "current_s": seconds(video.current_ms),
        "target_s": seconds(video.target_ms),
        "target_steps": video.target_steps,
        "ends_s": None
        if video.end_ms is None
        else {"least": seconds(video.end_ms[0]), "most": seconds(video.end_ms[1])},
        "may_fall_short": video.may_fall_short,
        "cost_left": None if unknown or video.micros_left is None else cost_of(account, video.micros_left).document(),
        "due": None
        if video.due is None
        else {
            "hop": video.due.hop,
            "generation": video.due.generation,
            "units": from_micros(video.due.predicted_micros),
            "paid_again": video.due.paid_again,
        },
        "running": None
        if video.running is None
        else {
            "attempt_id": video.running.attempt_id,
            "hop": video.running.hop,
            "generation": video.running.generation,
            "state": video.running.state.value,
            "submitted_at": iso(video.running.submitted_at),
        },
        "obstacle": None
        if blocker is None
        else {
            "kind": blocker.reason.value,
            "needs_person": blocker.reason.needs_person,
            "message": blocker.message,
            "todo": with_home_option(blocker.todo, home),
            "until": iso(blocker.until_ms),
        },
        "edit": None if video.edit is None else _edit(video.edit, account),
    }


def _edit(edit: Edit, account: Account) -> dict[str, Any]:
    def choice(hops: tuple[int, int], micros: tuple[int, int] | None) -> dict[str, Any]:
        left = None if micros is None else cost_of(account, micros).document()
        return {"hops": {"least": hops[0], "most": hops[1]}, "cost": left}

    return {
        "hop": edit.hop,
        "paid_for": dict(edit.paid_for),
        "now": dict(edit.now),
        "keep": choice(edit.keep_hops, edit.keep_micros),
        "pay": choice(edit.pay_hops, edit.pay_micros),
    }


def _account(account: AccountStatus) -> dict[str, Any]:
    return {
        "account": account.account,
        "provider": account.provider,
        "unit": account.unit,
        "currency": account.currency,
        "committed": account.committed,
        "committed_today": account.committed_today,
        "amount": account.amount,
        "in_doubt": account.in_doubt,
        "budget": None
        if account.per_day is None or account.total is None or account.in_doubt_cap is None
        else {"per_day": account.per_day, "total": account.total, "in_doubt": account.in_doubt_cap},
        "in_flight": account.in_flight,
        "max_in_flight": account.max_in_flight,
        "paused": account.paused,
        "stopped": account.stopped,
    }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return {
        "extension": doubt.where,
        "attempt_id": doubt.attempt_id,
        "account": doubt.account,
        "external_task_id": doubt.external_task_id,
        "exposure": {"unit": doubt.unit, "units": doubt.exposure},
        "age_s": Decimal(round(doubt.age_s * 1000)) / 1000,
        "why": doubt.why,
        "sent_at": iso(doubt.sent_at),
        "path": doubt.path,
        "request": doubt.request,
    }


def _range(values: tuple[Decimal, Decimal]) -> dict[str, Decimal]:
    return {"least": values[0], "most": values[1]}
