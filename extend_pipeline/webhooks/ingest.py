"""Store callbacks in the inbox: find the account by the address, check the signature, read the task id. Blocks; takes
many callbacks at once, because the commit is the expensive part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write.hints import webhook_inbox
from extend_pipeline.ledger.write.hints.webhook_inbox import (
    DuplicateDelivery,
    Message,
    QuotaExceeded,
    Stored,
    WebhookTarget,
)
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.providers.wire.credentials import SecretFault
from extend_pipeline.webhooks.signature import is_signed, read_signing_secrets


class IngestResult(StrEnum):
    """The result of one callback, as counted in the log."""

    STORED = "kept"
    DUPLICATE = "repeated"
    QUOTA_EXCEEDED = "too many for one attempt"
    UNKNOWN = "to an unknown address"
    UNSIGNED = "without a valid signature"
    DROPPED = "dropped: too many were waiting"
    LOST = "lost: the ledger could not be written"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """One callback. `headers` are those of its signature; a header that came twice is left out."""

    token: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


def ingest(
    pipeline: Pipeline, requests: Sequence[WebhookRequest], environment: Mapping[str, str] | None = None
) -> list[IngestResult]:
    """Store the new callbacks and make their attempts due now; return the result of each request, in order.

    A callback to an unknown address, without a valid signature, or that repeats a stored one writes nothing. Raises the
    ledger's errors.
    """
    if not requests:
        return []
    digests = [webhook_inbox.token_digest(request.token) for request in requests]
    with pipeline.ledger.read() as connection:
        targets = webhook_inbox.targets(connection, set(digests))
        checked = [
            _check(pipeline, request, targets.get(digest), environment)
            for request, digest in zip(requests, digests, strict=True)
        ]
        results = [
            item if isinstance(item, IngestResult) else _result(webhook_inbox.classify_callback(connection, item))
            for item in checked
        ]
    new_messages = [
        (index, item)
        for index, item in enumerate(checked)
        if isinstance(item, Message) and results[index] is IngestResult.STORED
    ]
    if new_messages:
        failpoint("callbacks.before_inbox")
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            for index, message in new_messages:
                results[index] = _result(webhook_inbox.receive(tx, message))
        failpoint("callbacks.after_inbox")
    return results


def _check(
    pipeline: Pipeline, request: WebhookRequest, target: WebhookTarget | None, environment: Mapping[str, str] | None
) -> Message | IngestResult:
    if target is None:
        return IngestResult.UNKNOWN
    account = pipeline.accounts.get(target.account)
    secrets = None if account is None else read_signing_secrets(account, environment)
    if isinstance(secrets, SecretFault):
        return IngestResult.UNSIGNED  # the secret is not set, so that no signature can be checked
    if secrets is not None and not is_signed(secrets, request.headers, request.body, now_ms=pipeline.now_ms()):
        return IngestResult.UNSIGNED
    read_task_id = spec_of(target.provider).callback
    task_id = None if read_task_id is None else read_task_id(request.body)
    return webhook_inbox.message(target, request.body, task_id=task_id, secrets=(request.token, *(secrets or ())))


def _result(status: Stored | DuplicateDelivery | QuotaExceeded | None) -> IngestResult:
    match status:
        case None | Stored():
            return IngestResult.STORED
        case DuplicateDelivery():
            return IngestResult.DUPLICATE
        case QuotaExceeded():
            return IngestResult.QUOTA_EXCEEDED
