"""Questions before a purchase that may have been made already: what would be paid for again, and the ways on. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from extend_pipeline.base.units import from_micros
from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.engine.plan.model import AttemptView, Blocker, Edit, PlanInput, Twin
from extend_pipeline.ledger.spending_rules import BlockReason

SHOWN: Final = 80  # characters of a text that is held against another


def same_purchase(video: Video, hop: int, twin: Twin, given: PlanInput) -> Blocker:
    """Say who has bought what hop `hop` of a video asks for, or is about to, and how to go on."""
    again = "to buy it a second time, write again: true in the entry"
    if video.again:
        again = (
            "again: true counts beside what the files name; to buy it once more, put the old name back there as well"
        )
    if not twin.bought:
        message = f"hop {hop} asks for the same as hop {twin.hop} of {twin.video_key}, which buys it"
        todo = f"to go on from its film: source: {{branch_of: {twin.video_key}, hop: {twin.hop}}}; {again}"
        return Blocker(BlockReason.SAME_PURCHASE, message, todo)
    if twin.account != video.account:
        message = f"its next hop was paid for by account {twin.account}, and its account is {video.account}"
        todo = f"if that is the same account under a new name, write was: {twin.account} in account {video.account}"
        if twin.video_key not in (video.key, video.was):
            message = f"{message} (it was {twin.video_key}/{twin.hop} there)"
            todo = f"{todo}, and was: {twin.video_key} in the entry"
        return Blocker(BlockReason.SAME_PURCHASE, message, f"{todo}; {again}")
    message = f"hop {hop} is what was paid for as {twin.video_key}/{twin.hop}"
    if twin.video_key in given.catalogue:
        todo = f"to go on from its film: source: {{branch_of: {twin.video_key}, hop: {twin.hop}}}; {again}"
    else:
        todo = f"if it is {twin.video_key} under a new key, write was: {twin.video_key} in the entry; {again}"
    return Blocker(BlockReason.SAME_PURCHASE, message, todo)


def repurchase(video: Video, account: Account, edit: Edit) -> Blocker:
    """Say what an edit would pay for again: old and new side by side, and what each way on costs."""
    changes = "; ".join(differences(edit.paid_for, edit.now)) or "what it is made from has changed"
    paid = f"hop {edit.hop} is" if edit.kept_hops <= 1 else f"hops {edit.hop} to {edit.hop + edit.kept_hops - 1} are"
    message = f"{paid} paid for as it was before an edit: {changes}"
    unit = account.price.unit
    keep = f"--keep ({_hops(edit.keep_hops)}, {_units(edit.keep_micros, unit)})"
    pay = f"--pay ({_hops(edit.pay_hops)}, {_units(edit.pay_micros, unit)})"
    todo = f"put the old words back; or extend-pipeline approve {video.key} {keep} | {pay}"
    return Blocker(BlockReason.REPURCHASE, message, todo)


def words_paid(video: Video, attempt: AttemptView) -> dict[str, object]:
    """Return what an attempt was asked for, with the source of a first hop."""
    words: dict[str, object] = json.loads(attempt.params)
    if attempt.hop > 1 or isinstance(video.source, BranchSource):
        return words
    return {"source": without_signature(attempt.root_video_id or ""), **words}


def words_now(video: Video, hop: int) -> dict[str, object]:
    """Return what the catalogue asks for now, with the source of a first hop."""
    words = video.extend.hop_params(hop)
    if hop > 1 or isinstance(video.source, BranchSource):
        return words
    return {"source": without_signature(video.source.source_id), **words}


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return a line for each value that differs, old before new."""
    names = [*before, *(name for name in now if name not in before)]
    return [
        f"{name}: {_shown(before.get(name))} before, {_shown(now.get(name))} now"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _shown(value: object) -> str:
    value = without_signature(value) if isinstance(value, str) else value
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _hops(hops: tuple[int, int]) -> str:
    count = f"{hops[0]}" if hops[0] == hops[1] else f"{hops[0]}–{hops[1]}"
    return f"{count} more hop{'' if hops == (1, 1) else 's'}"


def _units(micros: tuple[int, int] | None, unit: str) -> str:
    if micros is None:
        return "price unknown"
    least, most = (f"{from_micros(value):f}" for value in micros)
    return f"{least} {unit}" if least == most else f"{least}–{most} {unit}"
