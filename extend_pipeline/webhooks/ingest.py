"""From a callback that was read to a row of the inbox: whose address it is, whether it is signed as it must be, what it
names. Blocks; works on many at once, since what costs is the commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from extend_pipeline.base.failpoints import failpoint
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.ledger.write import webhook_inbox
from extend_pipeline.ledger.write.webhook_inbox import Addressee, Full, Kept, Message, Repeated
from extend_pipeline.providers.wire.callback_body import named_task
from extend_pipeline.providers.wire.credentials import SecretFault
from extend_pipeline.webhooks.signature import is_signed, read_signing_secrets


class Fate(StrEnum):
    """What became of a callback, as the log counts it."""

    KEPT = "kept"
    REPEATED = "repeated"
    FULL = "too many for one attempt"
    UNKNOWN = "to an unknown address"
    UNSIGNED = "without a valid signature"
    DROPPED = "dropped: too many were waiting"
    LOST = "lost: the ledger could not be written"


@dataclass(frozen=True, slots=True)
class Letter:
    """A callback as it was read. `headers` are those of its signature; one that came twice is not among them."""

    token: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


def take_in(pipeline: Pipeline, letters: Sequence[Letter], environment: Mapping[str, str] | None = None) -> list[Fate]:
    """Keep what is news among callbacks to addresses that were given out, and make their attempts due now; answers the
    fate of each, in order. What is no news writes nothing. Raises what the ledger raises."""
    if not letters:
        return []
    digests = [webhook_inbox.token_digest(letter.token) for letter in letters]
    with pipeline.ledger.read() as connection:
        known = webhook_inbox.addressees(connection, set(digests))
        sorted_out = [
            _sort(pipeline, letter, known.get(digest), environment)
            for letter, digest in zip(letters, digests, strict=True)
        ]
        fates = [one if isinstance(one, Fate) else _fate(webhook_inbox.judge(connection, one)) for one in sorted_out]
    news = [(at, one) for at, one in enumerate(sorted_out) if isinstance(one, Message) and fates[at] is Fate.KEPT]
    if news:
        failpoint("callbacks.before_inbox")
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            for at, one in news:
                fates[at] = _fate(webhook_inbox.receive(tx, one))
        failpoint("callbacks.after_inbox")
    return fates


def _sort(
    pipeline: Pipeline, letter: Letter, to: Addressee | None, environment: Mapping[str, str] | None
) -> Message | Fate:
    if to is None:
        return Fate.UNKNOWN
    account = pipeline.accounts.get(to.account)
    secrets = None if account is None else read_signing_secrets(account, environment)
    if isinstance(secrets, SecretFault):
        return Fate.UNSIGNED  # the variable went away: nothing is believed that can't be checked
    if secrets is not None and not is_signed(secrets, letter.headers, letter.body, now_ms=pipeline.now_ms()):
        return Fate.UNSIGNED
    hidden = (letter.token, *(secrets or ()))
    return webhook_inbox.message(to, letter.body, task_id=named_task(letter.body), secrets=hidden)


def _fate(found: Kept | Repeated | Full | None) -> Fate:
    match found:
        case None | Kept():
            return Fate.KEPT
        case Repeated():
            return Fate.REPEATED
        case Full():
            return Fate.FULL
