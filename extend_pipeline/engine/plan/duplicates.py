"""Detection of due purchases that duplicate a purchase already made or about to be made. Pure."""

from collections.abc import Collection, Mapping, Sequence

from extend_pipeline.config.model.account import Account
from extend_pipeline.engine.plan.model import DuplicatePurchase, PlanInput, Purchase
from extend_pipeline.ledger.write.renames_and_choices import Bought, Renames


def other_upstreams(account: Account, accounts: Mapping[str, Account]) -> frozenset[str]:
    """Return the accounts that are certainly at another system than this account, where the same purchase counts apart.

    Accounts with the same credential variables are the same system, even with different addresses. An account that
    accounts.yaml no longer names isn't returned, because it may be this account under its old name.
    """
    return frozenset(name for name, other in accounts.items() if not _is_same_upstream(other, account))


def find_duplicates(
    plan_input: PlanInput,
    next_purchases: Mapping[str, Purchase],
    bought: Sequence[Bought],
    renames: Renames,
    *,
    named: Collection[str],
) -> dict[str, DuplicatePurchase]:
    """Return, by video, the purchase that its next purchase would duplicate: one that was made already, or one that an
    earlier video of the catalogue is about to make.

    `next_purchases` are the purchases by video, in catalogue order; `bought` are attempts that made one of them;
    `named` are the accounts of accounts.yaml. For a video with `again`, only duplicates count whose video or account
    the files no longer name, because they may be this video under its old name.
    """
    key_of = {old: new for new, old in renames.videos.items()}
    account_of = {old: new for new, old in renames.accounts.items()}
    made: dict[str, list[DuplicatePurchase]] = {}
    for row in bought:
        key, account = key_of.get(row.video_key, row.video_key), account_of.get(row.account, row.account)
        made.setdefault(row.purchase, []).append(DuplicatePurchase(key, row.hop, account, bought=True))
    accounts = plan_input.accounts
    apart = {name: other_upstreams(account, accounts) for name, account in accounts.items()}
    duplicates: dict[str, DuplicatePurchase] = {}
    for video in plan_input.videos:
        purchase = next_purchases.get(video.key)
        if purchase is None:
            continue
        same = made.setdefault(purchase.digest, [])
        own = video.key, video.account
        others = (d for d in same if (d.video_key, d.account) != own and d.account not in apart[video.account])
        duplicate = next((d for d in others if not video.again or _is_removed(d, plan_input, named)), None)
        if duplicate is not None:
            duplicates[video.key] = duplicate
        else:
            same.append(DuplicatePurchase(video.key, purchase.hop, video.account, bought=False))
    return duplicates


def _is_removed(duplicate: DuplicatePurchase, plan_input: PlanInput, named: Collection[str]) -> bool:
    return duplicate.bought and (duplicate.video_key not in plan_input.catalogue or duplicate.account not in named)


def _is_same_upstream(account: Account, other: Account) -> bool:
    same_address = account.base_url.rstrip("/").lower() == other.base_url.rstrip("/").lower()
    return account.provider == other.provider and (same_address or account.credentials == other.credentials)
