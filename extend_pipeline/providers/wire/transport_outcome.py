"""Classify requests without a complete response, separately for billable POSTs and for read-only queries. Shared by
all providers, because these rules decide about money."""

from typing import Final

from extend_pipeline.providers.http.results import HttpResult, NoResponse, NotSent, Reply, Setting
from extend_pipeline.providers.http.retry import AttemptResult
from extend_pipeline.providers.protocol import Answer, QueryFailed, QueryFault, Rejected, RejectReason, Unknown
from extend_pipeline.providers.wire.response import evidence

WORTH_REPEATING: Final = frozenset({QueryFault.UNREACHABLE, QueryFault.RATE, QueryFault.UPSTREAM})


def classify_submit(result: HttpResult, secrets: tuple[str, ...]) -> Reply | Rejected | Unknown:
    """Return the complete response to a submit, or the outcome without one.

    Rejected only if no byte had left, because then provably no task was made. A response that was cut off or is too
    large belongs to a request that arrived, so that a task may have been made and charged: Unknown.
    """
    match result:
        case NotSent(reason=reason, setting=Setting() as setting):
            return Rejected(RejectReason(setting.value), Answer(f"nothing was sent: {reason}"))
        case NotSent(reason=reason):
            return Rejected(RejectReason.UNSENT, Answer(f"nothing was sent: {reason}"))
        case NoResponse(reason=reason):
            return Unknown(f"no complete response came back: {reason}", evidence(result, secrets))
        case Reply(truncated=True):
            return Unknown("the response is far larger than any documented one", evidence(result, secrets))
        case Reply():
            return result


def classify_query(result: HttpResult, secrets: tuple[str, ...]) -> Reply | AttemptResult[QueryFailed]:
    """Return the complete response to a query that charges nothing, or the failure and whether to repeat the query."""
    match result:
        case NotSent(reason=reason, setting=Setting() as setting):
            return AttemptResult(QueryFailed(QueryFault(setting.value), Answer(reason)))
        case NotSent(reason=reason, refused=refused):
            return AttemptResult(QueryFailed(QueryFault.UNREACHABLE, Answer(reason)), again=not refused)
        case NoResponse():
            return AttemptResult(QueryFailed(QueryFault.UNREACHABLE, evidence(result, secrets)), again=True)
        case Reply(truncated=True):
            return AttemptResult(QueryFailed(QueryFault.MALFORMED, evidence(result, secrets)))
        case Reply():
            return result
