"""Plans and statuses as documents for --json: ids as strings, durations in seconds, times as ISO 8601 in UTC. `emit`
writes decimals as strings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from extend_pipeline.base.units import amount_micros, from_micros
from extend_pipeline.commands.render.home import with_home_option
from extend_pipeline.commands.render.output import Lazy
from extend_pipeline.commands.render.text import iso, seconds
from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.guards.disk_space import DiskSpace
from extend_pipeline.engine.plan.model import Edit, Plan, VideoPlan
from extend_pipeline.engine.status import AccountStatus, Doubt, Status

_TIMES: Final = frozenset({"others_newest_at", "read_at", "since", "submitted_at", "unread_since", "until"})
"""Keys of times: UTC milliseconds in a row, ISO 8601 in a document."""


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


def totals(plan: Plan, accounts: Mapping[str, Account]) -> list[Cost]:
    """Return the remaining cost of each account, in the order of the accounts, without videos of unknown cost."""
    sums: dict[str, list[int]] = {name: [0, 0] for name in plan.complete}
    for video in plan.videos:
        if video.micros_left is not None and not start_unknown(video):
            total = sums.setdefault(video.account, [0, 0])
            total[0] += video.micros_left[0]
            total[1] += video.micros_left[1]
    return [cost_of(accounts[name], (sums[name][0], sums[name][1])) for name in accounts if name in sums]


def plan_document(plan: Plan, accounts: Mapping[str, Account]) -> dict[str, Any]:
    """Return a plan for --json."""
    return {
        "as_of": iso(plan.now_ms),
        "ledger": None
        if plan.ledger is None
        else {"message": plan.ledger.message, "todo": with_home_option(plan.ledger.todo)},
        "videos": Lazy(lambda video: _video(video, accounts[video.account]), plan.videos),
        "totals": [{"account": cost.account, **cost.document()} for cost in totals(plan, accounts)],
        "not_in_totals": [video.key for video in plan.videos if start_unknown(video) or video.micros_left is None],
        "due": len(plan.due),
        "needs_person": len(plan.needs_person),
    }


def status_document(status: Status, accounts: Mapping[str, Account]) -> dict[str, Any]:
    """Return a status for --json."""
    return {
        **plan_document(status.plan, accounts),
        "accounts": [_account(account) for account in status.accounts],
        "in_doubt": [_doubt(doubt) for doubt in status.doubts],
        "everything_paused": status.everything_paused,
        "disk": None if status.disk is None else _disk(status.disk),
        "ledger_ahead_s": seconds(status.ledger_ahead_ms),
        "expiring": _rows(status.expiring, "what", "where", "account", "until", "urgency", "note", until="ends_ms"),
        "orphans": _rows(status.orphans, "task_id", "account", "state", "error", error="error_message"),
        "disagreements": _rows(status.disagreements, "account", "book", "task_id", "verdict", "note", book="source"),
        "mistakes": list(status.mistakes),
        "left_alone": list(status.left_alone),
        "unplanned": _rows(status.unplanned, "video", "hop", "account", "state", video="video_key"),
        "lower_prices": _rows(
            status.lower_prices,
            *("account", "price_key", "unit", "charged", "predicted", "since", "line"),
            since="first_at_ms",
        ),
        "statements": [
            {
                **_fields(read, "account", "book", "read_at", book="source"),
                "unread_since": iso(read.unavailable_since),
                "why": read.unavailable_message or "",
                **_fields(read, "others", "others_newest_at"),
            }
            for read in status.statements
        ],
        "left_over": [
            {
                "extension": f"{task.video_key}/{task.hop}",
                **_fields(task, "account", "task_id", "message"),
                "todo": with_home_option(task.todo),
            }
            for task in status.leftover_tasks
        ],
        "withdrawn_with_many": [] if status.withdrawn is None else list(status.withdrawn.videos),
        "store": {
            "doubt": status.store.doubt,
            "missing": _rows(
                status.store.missing,
                *("where", "role", "account", "path", "cause", "state", "since", "until", "message"),
                until="expires_at",
                message="last_try",
            ),
        },
        "unknown_accounts": [{"account": name, "attempts": count} for name, count in status.unknown_accounts],
    }


def _rows(rows: Iterable[object], *keys: str, **attributes: str) -> list[dict[str, Any]]:
    return [_fields(row, *keys, **attributes) for row in rows]


def _fields(row: object, *keys: str, **attributes: str) -> dict[str, Any]:
    """Return these keys with a row's attributes of the same names; `attributes` has the names that differ."""
    values = {key: getattr(row, attributes.get(key, key)) for key in keys}
    return {key: iso(value) if key in _TIMES else value for key, value in values.items()}


def _disk(disk: DiskSpace) -> dict[str, Any]:
    return {
        "media": {"folder": disk.media, "free_bytes": disk.media_free, "needed_bytes": disk.needed},
        "state": {"folder": str(disk.state), "free_bytes": disk.state_free, "needed_bytes": disk.min_free_bytes},
        "awaited": disk.awaited,
        "short": disk.is_short,
    }


def _video(video: VideoPlan, account: Account) -> dict[str, Any]:
    due, running, blocker, unknown = video.due, video.running, video.blocker, start_unknown(video)
    return {
        **_fields(video, "video", "account", "provider", "state", "hops_done", video="key"),
        "hops_left": None if unknown else _range(video.hops_left),
        "current_s": seconds(video.current_ms),
        "target_s": seconds(video.target_ms),
        "target_steps": video.target_steps,
        "ends_s": None if video.end_ms is None else _range((seconds(video.end_ms[0]), seconds(video.end_ms[1]))),
        "may_fall_short": video.may_fall_short,
        "cost_left": None if unknown else _cost(account, video.micros_left),
        "due": None
        if due is None
        else {
            **_fields(due, "hop", "generation"),
            "units": from_micros(due.predicted_micros),
            "paid_again": due.paid_again,
        },
        "running": None
        if running is None
        else _fields(running, "attempt_id", "hop", "generation", "state", "submitted_at"),
        "obstacle": None
        if blocker is None
        else {
            "kind": blocker.reason,
            "needs_person": blocker.reason.needs_person,
            "message": blocker.message,
            "todo": with_home_option(blocker.todo),
            "until": iso(blocker.until_ms),
        },
        "edit": None if video.edit is None else _edit(video.edit, account),
    }


def _edit(edit: Edit, account: Account) -> dict[str, Any]:
    return {
        "hop": edit.hop,
        "paid_for": dict(edit.paid_for),
        "now": dict(edit.now),
        "keep": {"hops": _range(edit.keep_hops), "cost": _cost(account, edit.keep_micros)},
        "pay": {"hops": _range(edit.pay_hops), "cost": _cost(account, edit.pay_micros)},
    }


def _account(account: AccountStatus) -> dict[str, Any]:
    committed = ("committed", "committed_today", "amount", "in_doubt")
    return {
        **_fields(account, "account", "provider", "unit", "currency", *committed),
        "budget": None
        if account.total is None
        else _fields(account, "per_day", "total", "in_doubt", in_doubt="in_doubt_cap"),
        **_fields(account, "in_flight", "max_in_flight", "paused", "stopped", "silent_submits", "silent_queries"),
        "asked_again_at": iso(account.asked_at_ms),
    }


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return {
        **_fields(doubt.attempt, "extension", "attempt_id", "account", "external_task_id", extension="where"),
        "exposure": {"unit": doubt.attempt.unit, "units": doubt.exposure},
        "age_s": Decimal(round(doubt.age_s * 1000)) / 1000,
        "why": doubt.attempt.error_message or "",
        "sent_at": iso(doubt.attempt.sending_at),
        "path": doubt.path,
        "request": doubt.attempt.request,
    }


def _cost(account: Account, micros: tuple[int, int] | None) -> dict[str, Any] | None:
    return None if micros is None else cost_of(account, micros).document()


def _range(values: tuple[object, object]) -> dict[str, Any]:
    return {"least": values[0], "most": values[1]}
