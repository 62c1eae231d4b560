"""Prepare a due step for its submit: its claim, the request that the ledger keeps, and the request that is sent."""

from dataclasses import dataclass
from typing import Final

from extend_pipeline.config.digest import canonical_json
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.duplicates import other_upstreams
from extend_pipeline.engine.plan.model import DueStep
from extend_pipeline.ledger.write.claims import ClaimRequest
from extend_pipeline.ledger.write.hints.webhook_inbox import token_digest
from extend_pipeline.providers.protocol import SubmitRequest

HIDDEN: Final = "[token]"
"""Placeholder for the token of a callback address in the request that the ledger keeps."""


@dataclass(frozen=True, slots=True)
class PreparedSubmit:
    """A step with its claim and, where the account has callbacks, the token of its address. The token exists only here
    and in the POST; the ledger keeps its digest."""

    request: ClaimRequest
    step: DueStep
    token: str | None


def prepare_submit(pipeline: Pipeline, step: DueStep) -> PreparedSubmit:
    """Prepare a step. Each try gets a callback address of its own, with an unguessable token."""
    token = None if pipeline.accounts[step.video.account].callbacks is None else pipeline.new_token()
    return PreparedSubmit(claim_request(pipeline, step, token=token), step, token)


def claim_request(pipeline: Pipeline, step: DueStep, *, token: str | None = None) -> ClaimRequest:
    """Return the claim for a due step, with the exact body that will be sent, except for the token."""
    account = pipeline.accounts[step.video.account]
    external_id = chain.external_task_id(
        video_key=step.named_as, hop=step.hop, generation=step.generation, chain_digest=step.chain_digest
    )
    shown = to_request(pipeline, step, external_id, None if token is None else HIDDEN)
    return ClaimRequest(
        attempt_id=chain.attempt_id(external_id, step.try_no),
        video_key=step.video.key,
        hop=step.hop,
        generation=step.generation,
        try_no=step.try_no,
        chain_digest=step.chain_digest,
        account=account.name,
        provider=account.provider,
        submit_class=account.submit_class,
        external_task_id=external_id,
        root_video_id=step.root_video_id,
        parent_attempt_id=step.parent_attempt_id,
        parent_video_id=step.parent_video_id,
        parent_duration_ms=step.parent_duration_ms,
        params=canonical_json(dict(step.params)),
        request=canonical_json(pipeline.provider(account.name).body(shown)),
        mode=step.mode,
        unit=account.price.unit,
        predicted_micros=step.predicted_micros,
        unit_price_micros=account.price.unit_price_micros,
        currency=account.price.currency,
        failed_tasks_charged=account.failed_tasks_charged,
        last_attempt_id=step.last_attempt_id,
        tries_seen=step.tries_seen,
        must_be_declared=True,
        callback_digest=None if token is None else token_digest(token),
        purchase=step.purchase,
        buys_again=step.video.again,
        other_upstreams=other_upstreams(account, pipeline.accounts),
        choices=step.choices,
    )


def to_request(pipeline: Pipeline, step: DueStep, external_id: str, token: str | None) -> SubmitRequest:
    """Return the request to the provider; with a token it has a callback address."""
    callbacks = pipeline.accounts[step.video.account].callbacks
    address = None if callbacks is None or token is None else f"{callbacks.url}/{token}"
    return SubmitRequest(
        external_id, step.parent_video_id, step.params, callback_url=address, parent_task_id=step.parent_task_id
    )
