"""Finds purchases that are the same as one that was made already, or is about to be. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from extend_pipeline.config.accounts import Account
from extend_pipeline.engine.plan_types import PlanInput, Purchase, Twin
from extend_pipeline.ledger.names import Renames


def other_upstreams(account: Account, accounts: Mapping[str, Account]) -> frozenset[str]:
    """Return the accounts that are known to be at another system than this one: a purchase there is another purchase.
    An account that the file no longer names may be this one under its old name."""
    return frozenset(name for name, other in accounts.items() if _upstream(other) != _upstream(account))


def twins(
    given: PlanInput, ahead: Mapping[str, Purchase], bought: Sequence[Row[Any]], renames: Renames
) -> dict[str, Twin]:
    """Return, by video, who has made the purchase that is next for it, or who of the videos before it makes it first.

    `ahead` are the purchases by video, in the order of the catalogue; `bought` are attempts that made one of them.
    """
    key_of = {old: new for new, old in renames.videos.items()}
    account_of = {old: new for new, old in renames.accounts.items()}
    made: dict[str, list[Twin]] = {}
    for row in bought:
        key, account = key_of.get(row.video_key, row.video_key), account_of.get(row.account, row.account)
        made.setdefault(row.purchase, []).append(Twin(key, row.hop, account, bought=True))
    apart = {name: other_upstreams(account, given.accounts) for name, account in given.accounts.items()}
    found: dict[str, Twin] = {}
    for video in given.videos:
        purchase = ahead.get(video.key)
        if purchase is None:
            continue
        same = made.setdefault(purchase.digest, [])
        own = video.key, video.account
        others = (t for t in same if (t.video_key, t.account) != own and t.account not in apart[video.account])
        twin = None if video.again else next(others, None)
        if twin is not None:
            found[video.key] = twin
        else:
            same.append(Twin(video.key, purchase.hop, video.account, bought=False))
    return found


def _upstream(account: Account) -> tuple[str, str]:
    return account.provider, account.base_url.rstrip("/").lower()
