"""What an exchange means that brought no whole answer: of a POST that may be charged, and of a question. Said in one
place for all providers, since it decides about money."""

from __future__ import annotations

from typing import Final

from extend_pipeline.providers.http.results import HttpResult, Lost, Reply, Setting, Unsent
from extend_pipeline.providers.http.retry import Try
from extend_pipeline.providers.protocol import Answer, QueryFault, Rejected, RejectReason, Unanswered, Unknown
from extend_pipeline.providers.wire.response import evidence

WORTH_REPEATING: Final = frozenset({QueryFault.UNREACHABLE, QueryFault.RATE, QueryFault.UPSTREAM})


def submitted(result: HttpResult, secrets: tuple[str, ...]) -> Reply | Rejected | Unknown:
    """The whole answer to a submit, or what its lack means.

    Rejected only where not a byte had left: then provably nothing was made. An answer that was cut off, or that is
    too large to be read, belongs to a request that arrived, so that a task may have been made and charged: Unknown.
    """
    match result:
        case Unsent(reason=reason, setting=Setting() as setting):
            return Rejected(RejectReason(setting.value), Answer(f"nothing was sent: {reason}"))
        case Unsent(reason=reason):
            return Rejected(RejectReason.UNSENT, Answer(f"nothing was sent: {reason}"))
        case Lost(reason=reason):
            return Unknown(f"no whole answer came back: {reason}", evidence(result, secrets))
        case Reply(truncated=True):
            return Unknown("the answer is far larger than any that is documented", evidence(result, secrets))
        case Reply():
            return result


def asked(result: HttpResult, secrets: tuple[str, ...]) -> Reply | Try[Unanswered]:
    """The whole answer to a question that charges nothing, or what its lack means, and whether to ask again."""
    match result:
        case Unsent(reason=reason, setting=Setting() as setting):
            return Try(Unanswered(QueryFault(setting.value), Answer(reason)))
        case Unsent(reason=reason, refused=refused):
            return Try(Unanswered(QueryFault.UNREACHABLE, Answer(reason)), again=not refused)
        case Lost():
            return Try(Unanswered(QueryFault.UNREACHABLE, evidence(result, secrets)), again=True)
        case Reply(truncated=True):
            return Try(Unanswered(QueryFault.MALFORMED, evidence(result, secrets)))
        case Reply():
            return result
