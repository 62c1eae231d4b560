"""Checks that every account of a video has a budget and the prices that its videos need."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from extend_pipeline.config.files.accounts import AccountList
from extend_pipeline.config.issues import ConfigIssue, FieldIssue
from extend_pipeline.config.model.provider import by_name


@dataclass(frozen=True)
class Use:
    """A video's use of an account. `mode` and `params` (of its hops) are what prices depend on; None if they could not
    be read, and `mode` is also None if the provider has no modes."""

    key: str
    account: str
    mode: str | None
    params: Mapping[str, object] | None


def spending_issues(accounts: AccountList, uses: Sequence[Use]) -> Iterator[ConfigIssue]:
    """Yield one issue for each account that a video uses and that has no budget, and one for each missing price."""
    by_account: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        by_account[use.account].append(use)
    for name, account_uses in by_account.items():
        account = accounts.accounts.get(name)
        if account is None:
            continue
        scope = accounts.scopes[name]
        if account.budget is None:
            message = f"is missing, and {_videos_need(account_uses)} it: no budget, no spending"
            hint = "Write budget: {per_day: 100, total: 2000}, in units."
            yield scope.issue(FieldIssue(("budget",), message, hint))
        provider = by_name(accounts.providers)[account.provider]
        by_price: dict[str, list[Use]] = defaultdict(list)
        for use in account_uses:
            key = provider.price_key(use.mode, use.params or {})
            if key is not None:
                by_price[key].append(use)
        for key, price_uses in by_price.items():
            if account.price.quote(key) is None:
                what = key if price_uses[0].mode is None else f"mode {key}"
                message = f"has no price for {what}, and {_videos_need(price_uses)} it"
                hint = f"Add {key}: and the units of one extension."
                yield scope.issue(FieldIssue(("price", "per_extension"), message, hint))


def _videos_need(uses: Sequence[Use]) -> str:
    first = uses[0].key
    return f"video {first} needs" if len(uses) == 1 else f"{len(uses)} videos ({first}, …) need"
