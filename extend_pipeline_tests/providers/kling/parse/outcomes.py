"""Parse bodies as responses of Kling's to a submit or a query, with ids and a secret that they may repeat."""

from __future__ import annotations

from extend_pipeline.providers.kling.parse import parse_query, parse_submit
from extend_pipeline.providers.protocol import (
    Found,
    QueryOutcome,
    SubmitOutcome,
    TaskView,
)
from extend_pipeline.providers.wire.response import RawResponse

ID = "827942411241803822"
OWN = "harbour-dawn_1"
CANARY = "canary-secret-0123456789"


def submit(status: int, content: bytes) -> SubmitOutcome:
    """Parse the response to a submit with our own id."""
    return parse_submit(RawResponse(status, content, (CANARY,), 3.0), external_task_id=OWN)


def query(status: int, content: bytes, requested: str = ID, own_key: bool = False) -> QueryOutcome:
    """Parse the response to a query of a task."""
    return parse_query(RawResponse(status, content, (CANARY,), 3.0), requested=requested, own_key=own_key)


def seen(content: bytes, requested: str = ID) -> TaskView:
    """Return the task that a query with status 200 shows."""
    outcome = query(200, content, requested)
    assert isinstance(outcome, Found), outcome
    return outcome.view
