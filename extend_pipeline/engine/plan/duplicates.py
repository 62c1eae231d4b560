"""Finds purchases that are the same as one that was made already, or is about to be. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.plan.model import PlanInput, Purchase, Twin
from extend_pipeline.ledger.write.names import Bought, Renames


def other_upstreams(account: Account, accounts: Mapping[str, Account]) -> frozenset[str]:
    """Return the accounts that are known to be at another system than this one: a purchase there is another purchase.
    One that signs in with the same variables is the same, whatever its address. An account that the file no longer
    names may be this one under its old name."""
    return frozenset(name for name, other in accounts.items() if not _is_same_upstream(other, account))


def twins(
    given: PlanInput,
    ahead: Mapping[str, Purchase],
    bought: Sequence[Bought],
    renames: Renames,
    *,
    named: Collection[str],
) -> dict[str, Twin]:
    """Return, by video, who has made the purchase that is next for it, or who of the videos before it makes it first.

    `ahead` are the purchases by video, in the order of the catalogue; `bought` are attempts that made one of them;
    `named` are the accounts of accounts.yaml. Whoever wants a purchase again is told only of a twin whose video or
    account the files don't name any more: it may be this very one under its old name.
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
        twin = next((t for t in others if not video.again or _has_left(t, given, named)), None)
        if twin is not None:
            found[video.key] = twin
        else:
            same.append(Twin(video.key, purchase.hop, video.account, bought=False))
    return found


def _has_left(twin: Twin, given: PlanInput, named: Collection[str]) -> bool:
    return twin.bought and (twin.video_key not in given.catalogue or twin.account not in named)


def _is_same_upstream(one: Account, other: Account) -> bool:
    address = one.base_url.rstrip("/").lower() == other.base_url.rstrip("/").lower()
    return one.provider == other.provider and (address or one.credentials == other.credentials)
