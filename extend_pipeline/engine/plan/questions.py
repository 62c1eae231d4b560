"""Texts of questions before a purchase that may already have been made: what would be paid again, and how to decide.
Pure."""

import json
from collections.abc import Mapping
from typing import Final

from extend_pipeline.base.units import from_micros
from extend_pipeline.base.wording import shortened
from extend_pipeline.config.checks.signed_urls import without_signature
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.engine.plan.model import Blocker, DuplicatePurchase, Edit, PlanInput
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.spending_rules import BlockReason

MAX_SHOWN: Final = 80  # characters of a value in a comparison


def same_purchase(video: Video, hop: int, duplicate: DuplicatePurchase, plan_input: PlanInput) -> Blocker:
    """Return the blocker of a hop whose purchase was already made, or is about to be, with the ways to continue."""
    again = "to buy it a second time, write again: true in the entry"
    if video.again:
        again = "again: true covers only names in the files; to buy it once more, put the old name back there as well"
    if not duplicate.bought:
        message = f"hop {hop} asks for the same as hop {duplicate.hop} of {duplicate.video_key}, which buys it"
        todo = f"to go on from its film: source: {{branch_of: {duplicate.video_key}, hop: {duplicate.hop}}}; {again}"
        return Blocker(BlockReason.SAME_PURCHASE, message, todo)
    if duplicate.account != video.account:
        message = f"its next hop was paid for by account {duplicate.account}, and its account is {video.account}"
        todo = f"if account {video.account} is the same one under a new name, write was: {duplicate.account} in it"
        if duplicate.video_key not in (video.key, video.was):
            message = f"{message} (it was {duplicate.video_key}/{duplicate.hop} there)"
            todo = f"{todo}, and was: {duplicate.video_key} in the entry"
        return Blocker(BlockReason.SAME_PURCHASE, message, f"{todo}; {again}")
    message = f"hop {hop} is what was paid for as {duplicate.video_key}/{duplicate.hop}"
    if duplicate.video_key in plan_input.catalogue:
        todo = f"to go on from its film: source: {{branch_of: {duplicate.video_key}, hop: {duplicate.hop}}}; {again}"
    else:
        todo = f"if it is {duplicate.video_key} under a new key, write was: {duplicate.video_key} in the entry; {again}"
    return Blocker(BlockReason.SAME_PURCHASE, message, todo)


def misnamed(video: Video, left: str) -> Blocker:
    """Return the blocker of a video whose `was` is no name in the ledger, while the video `left`, which has left the
    catalogue, has paid hops from the same source."""
    message = f"was: {video.was} is no video of the ledger; {left} is, and has paid hops from the same source"
    todo = f"if it is {left} under a new key, write was: {left} in the entry; if it is another film, remove was"
    return Blocker(BlockReason.SAME_PURCHASE, message, todo)


def repurchase(video: Video, account: Account, edit: Edit) -> Blocker:
    """Return the blocker of an edit that would pay again: the old and new values, and the cost of both decisions."""
    changes = "; ".join(differences(edit.paid_for, edit.now)) or "what it is made from has changed"
    paid = f"hop {edit.hop} is" if edit.kept_hops <= 1 else f"hops {edit.hop} to {edit.hop + edit.kept_hops - 1} are"
    message = f"{paid} paid for as it was before an edit: {changes}"
    unit = account.price.unit
    keep = f"--keep ({_hops(edit.keep_hops)}, {_units(edit.keep_micros, unit)})"
    pay = f"--pay ({_hops(edit.pay_hops)}, {_units(edit.pay_micros, unit)})"
    todo = f"restore the old values; or extend-pipeline approve {video.key} {keep} | {pay}"
    return Blocker(BlockReason.REPURCHASE, message, todo)


def paid_parameters(video: Video, attempt: AttemptRow) -> dict[str, object]:
    """Return the parameters of an attempt, with the source for a first hop."""
    parameters: dict[str, object] = json.loads(attempt.params)
    if attempt.hop > 1 or isinstance(video.source, BranchSource):
        return parameters
    return {"source": without_signature(attempt.root_video_id or ""), **parameters}


def current_parameters(video: Video, hop: int) -> dict[str, object]:
    """Return the parameters of a hop in the catalogue, with the source for a first hop."""
    parameters = video.extend.hop_params(hop)
    if hop > 1 or isinstance(video.source, BranchSource):
        return parameters
    return {"source": without_signature(video.source.source_id), **parameters}


def differences(before: Mapping[str, object], current: Mapping[str, object]) -> list[str]:
    """Return a text for each value that differs, with the old value first."""
    names = [*before, *(name for name in current if name not in before)]
    return [
        f"{name}: {_shown(before.get(name))} before, {_shown(current.get(name))} now"
        for name in names
        if before.get(name) != current.get(name)
    ]


def _shown(value: object) -> str:
    value = without_signature(value) if isinstance(value, str) else value
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return shortened(text, MAX_SHOWN)


def _hops(hops: tuple[int, int]) -> str:
    count = f"{hops[0]}" if hops[0] == hops[1] else f"{hops[0]}–{hops[1]}"
    return f"{count} more hop{'' if hops == (1, 1) else 's'}"


def _units(micros: tuple[int, int] | None, unit: str) -> str:
    if micros is None:
        return "price unknown"
    least, most = (f"{from_micros(value):f}" for value in micros)
    return f"{least} {unit}" if least == most else f"{least}–{most} {unit}"
