"""Warnings about values that are valid and still deserve a look before money is spent."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from extend_pipeline.config.checks.purchase import words_digest
from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource, Catalogue, Video


def warnings_on(catalogue: Catalogue, accounts: Mapping[str, Account]) -> Iterator[str]:
    """Yield warnings, as sentences."""
    yield from _zero_warnings(accounts)
    yield from catalogue.notes
    yield from _class_b_warnings(accounts)
    yield from _path_prefix_warnings(accounts)


def _path_prefix_warnings(accounts: Mapping[str, Account]) -> Iterator[str]:
    """Yield a warning for each account whose paths begin with the same prefix twice, which few gateways have."""
    for account in accounts.values():
        prefix = getattr(account, "path_prefix", "")
        if prefix and urlsplit(account.base_url).path.endswith(prefix):
            yield (
                f"Account {account.name}: base_url ends with {prefix}, and path_prefix puts {prefix} behind it once "
                f'more. Leave it out of base_url, or write path_prefix: "", unless its paths do begin so.'
            )


def _class_b_warnings(accounts: Mapping[str, Account]) -> Iterator[str]:
    """Yield a warning for each account of class B, which files of earlier versions may have. It is no issue, because
    tasks in flight must still be polled."""
    for account in accounts.values():
        if account.submit_class == "B":
            yield (
                f"Account {account.name}: submit_class B (a lost submit is looked for in the provider's list) does not "
                f"exist in this version. It means C: an unclear submit waits for a callback or for you. Write "
                f"submit_class: C, or A where the provider takes external_task_id and finds tasks by it."
            )


def _zero_warnings(accounts: Mapping[str, Account]) -> Iterator[str]:
    """Yield a warning for each account with a budget or a unit price of 0, because 0 may be meant as "no limit"."""
    for name, account in accounts.items():
        budget = account.budget
        if budget is not None and 0 in (budget.per_day_micros, budget.total_micros, budget.exposure_micros):
            yield f"Account {name} spends nothing: its budget is 0, which is not the same as no limit."
        if account.price.unit_price_micros == 0:
            yield f"Account {name} counts units and no money: its unit_price is 0, so all amounts are 0."


def same_purchase_warnings(catalogue: Iterable[Video]) -> Iterator[str]:
    """Yield a warning for videos that begin with the same extension, because only the first of them buys it. Videos
    that share their `start` with no other make no difference."""
    by_start: dict[tuple[str, ...], list[Video]] = defaultdict(list)
    for video in catalogue:
        if not video.again:
            by_start[start(video)].append(video)
    for videos in by_start.values():
        if len(videos) == 1:
            continue
        by_step: dict[str, list[Video]] = defaultdict(list)
        for video in videos:
            by_step[words_digest(video.extend.hop_params(1))].append(video)
        for same in by_step.values():
            if len(same) > 1:
                first = same[0].key
                yield (
                    f"Videos {_listed(same)} of account {same[0].account} begin with the same extension of the same "
                    f"source. It is bought for {first} only: to go on from its film, let the others branch off "
                    f"(source: {{branch_of: {first}, hop: 1}}); to buy it for each, write again: true in the others."
                )


def start(video: Video) -> tuple[str, ...]:
    """Return where a video begins: its account, and its source or the hop that it branches off."""
    if isinstance(video.source, BranchSource):
        return video.account, video.source.branch_of, str(video.source.hop)
    return video.account, without_signature(video.source.source_id)


def _listed(videos: Sequence[Video]) -> str:
    keys = [video.key for video in videos]
    if len(keys) > 4:
        return f"{', '.join(keys[:3])} and {len(keys) - 3} more"
    return f"{', '.join(keys[:-1])} and {keys[-1]}"
