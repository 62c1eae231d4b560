"""Vidu through ModelVerse (docs/upstream/vidu.md): the Provider that talks to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from extend_pipeline.providers.protocol import (
    Answer,
    PageOutcome,
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
from extend_pipeline.providers.wire.api_key_client import KeyClient
from extend_pipeline.providers.wire.inline_image import BadPicture

STATUS: Final = "/v1/tasks/status"


class ViduProvider:
    """One account at ModelVerse. Safe to use from several threads.

    ModelVerse knows no key of ours, no list and no callback: a submit that was not answered stays unknown until a
    person decides, and `callback_url` and `external_task_id` of a request are not sent.
    """

    can_find = False
    list_page_size = 0
    many = 0

    def __init__(self, client: KeyClient) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"ViduProvider({self._client!r})"

    def body(self, request: SubmitRequest) -> dict[str, object]:
        """What `submit` sends, with a local or inline `last_frame_url` as its name or type and its sha256 instead of
        up to 14 MB of base64. Raises ValueError for a request that config should not have let through."""
        return ledger_body(request)

    def submit(self, request: SubmitRequest) -> SubmitOutcome:
        """POST once. A local picture is read here; one that can't be sent is rejected before any byte goes out."""
        body = wire_body(request)
        if isinstance(body, BadPicture):
            return Rejected(RejectReason.BAD_REQUEST, Answer(f"nothing was sent: {body.message}"))
        return self._client.submit(PATH, body, parse_vidu_submit)

    def query(self, task_id: str) -> QueryOutcome:
        """Look a task up."""
        if not task_id:
            return QueryFailed(QueryFault.MALFORMED, Answer("an empty text can't be a task's id; it was not asked for"))
        return self._client.get(STATUS, {"task_id": task_id}, partial(parse_vidu_query, asked=task_id))

    def query_many(self, task_ids: Sequence[str]) -> dict[str, QueryOutcome]:
        """Look tasks up one by one."""
        return {task_id: self.query(task_id) for task_id in task_ids}

    def find(self, external_task_id: str) -> QueryOutcome:
        """Nothing: ModelVerse knows no key of ours."""
        return QueryFailed(QueryFault.MALFORMED, Answer(f"ModelVerse has no look-up by our own id {external_task_id}"))

    def list_page(self, page: int, size: int) -> PageOutcome:
        """Nothing: ModelVerse has no list."""
        return QueryFailed(
            QueryFault.MALFORMED, Answer(f"ModelVerse has no list; page {page} of {size} was not asked for")
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
