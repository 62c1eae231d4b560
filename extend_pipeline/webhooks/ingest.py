"""From a callback that was read to a row of the inbox: whose address it is, whether it is signed as it must be, what it
names. Blocks; works on many at once, since what costs is the commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import webhook_inbox
from extend_pipeline.ledger.write.webhook_inbox import DuplicateDelivery, Message, QuotaExceeded, Stored, WebhookTarget
from extend_pipeline.providers.registry import spec_of
from extend_pipeline.providers.wire.credentials import SecretFault
from extend_pipeline.webhooks.signature import is_signed, read_signing_secrets


class IngestResult(StrEnum):
    """What became of a callback, as the log counts it."""

    KEPT = "kept"
    REPEATED = "repeated"
    FULL = "too many for one attempt"
    UNKNOWN = "to an unknown address"
    UNSIGNED = "without a valid signature"
    DROPPED = "dropped: too many were waiting"
    LOST = "lost: the ledger could not be written"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A callback as it was read. `headers` are those of its signature; one that came twice is not among them."""

    token: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


def ingest(
    pipeline: Pipeline, requests: Sequence[WebhookRequest], environment: Mapping[str, str] | None = None
) -> list[IngestResult]:
    """Keep what is news among callbacks to addresses that were given out, and make their attempts due now; answers the
    fate of each, in order. What is no news writes nothing. Raises what the ledger raises."""
    if not requests:
        return []
    digests = [webhook_inbox.token_digest(request.token) for request in requests]
    with pipeline.ledger.read() as connection:
        known = webhook_inbox.targets(connection, set(digests))
        sorted_out = [
            _sort(pipeline, request, known.get(digest), environment)
            for request, digest in zip(requests, digests, strict=True)
        ]
        fates = [
            one if isinstance(one, IngestResult) else _result(webhook_inbox.classify_callback(connection, one))
            for one in sorted_out
        ]
    news = [
        (at, one) for at, one in enumerate(sorted_out) if isinstance(one, Message) and fates[at] is IngestResult.KEPT
    ]
    if news:
        failpoint("callbacks.before_inbox")
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            for at, one in news:
                fates[at] = _result(webhook_inbox.receive(tx, one))
        failpoint("callbacks.after_inbox")
    return fates


def _sort(
    pipeline: Pipeline, request: WebhookRequest, to: WebhookTarget | None, environment: Mapping[str, str] | None
) -> Message | IngestResult:
    if to is None:
        return IngestResult.UNKNOWN
    account = pipeline.accounts.get(to.account)
    secrets = None if account is None else read_signing_secrets(account, environment)
    if isinstance(secrets, SecretFault):
        return IngestResult.UNSIGNED  # the variable went away: nothing is believed that can't be checked
    if secrets is not None and not is_signed(secrets, request.headers, request.body, now_ms=pipeline.now_ms()):
        return IngestResult.UNSIGNED
    hidden = (request.token, *(secrets or ()))
    read = spec_of(to.provider).callback
    task_id = None if read is None else read(request.body)
    return webhook_inbox.message(to, request.body, task_id=task_id, secrets=hidden)


def _result(found: Stored | DuplicateDelivery | QuotaExceeded | None) -> IngestResult:
    match found:
        case None | Stored():
            return IngestResult.KEPT
        case DuplicateDelivery():
            return IngestResult.REPEATED
        case QuotaExceeded():
            return IngestResult.FULL
