"""The provider for Vidu through ModelVerse (docs/upstream/vidu.md)."""

from functools import partial
from typing import Final

from extend_pipeline.providers.protocol import (
    Answer,
    Provider,
    QueryFailed,
    QueryFault,
    QueryOutcome,
    Rejected,
    RejectReason,
    SubmitOutcome,
    SubmitRequest,
)
from extend_pipeline.providers.vidu.body import ledger_body, wire_body
from extend_pipeline.providers.vidu.parse import parse_vidu_query, parse_vidu_submit
from extend_pipeline.providers.vidu.spec import PATH
from extend_pipeline.providers.wire.inline_image import BadImage

STATUS: Final = "/v1/tasks/status"


class ViduProvider(Provider):
    """One account at ModelVerse.

    ModelVerse has no key of ours, no list and no callback: a submit without a response stays unknown until an operator
    decides, and a request's `callback_url` and `external_task_id` are not sent.
    """

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """Return the body of `submit`, with a local or inline image, of up to 14 MB in base64, replaced by its name or
        type and its sha256. Raises ValueError for a request that config should have refused."""
        return ledger_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. A local image is read now; if it can't be sent, the submit is rejected before any byte leaves."""
        body = wire_body(request)
        if isinstance(body, BadImage):
            return Rejected(RejectReason.BAD_REQUEST, Answer(f"nothing was sent: {body.message}"))
        return self.client.submit(PATH, body, parse_vidu_submit)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up."""
        if not task_id:
            return QueryFailed(QueryFault.MALFORMED, Answer("an empty text can't be a task's id; nothing was sent"))
        return self.client.query(STATUS, partial(parse_vidu_query, requested=task_id), params={"task_id": task_id})
