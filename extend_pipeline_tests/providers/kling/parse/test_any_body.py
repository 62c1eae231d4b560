"""Generated bodies: none makes the parsers of Kling's responses raise, or believe too much."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extend_pipeline.providers.kling.parse import parse_page
from extend_pipeline.providers.protocol import (
    Accepted,
    Found,
    NotFound,
    Page,
    TaskState,
    TaskView,
)
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.bodies import CREATED, DONE, LIST, SINGLE, body
from extend_pipeline_tests.providers.kling.parse.outcomes import ID, query, submit

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["succeed", "failed", ID, "0", "2"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw one of Kling's bodies with some values replaced, some keys removed, and perhaps cut or garbled bytes."""
    document: Any = json.loads(
        body(draw(st.sampled_from([CREATED, SINGLE, LIST, {"code": 0, "message": "", "data": DONE}])))
    )
    for _ in range(draw(st.integers(0, 3))):
        node = document
        while isinstance(node, dict | list) and node:
            key = draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else 0
            inner = node[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                node = inner
                continue
            if isinstance(node, dict) and draw(st.booleans()):
                del node[key]
            else:
                node[key] = draw(JSON)
            break
    content = json.dumps(document).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content = content[:at] + draw(st.binary(max_size=4)) + content[at + draw(st.integers(0, 4)) :]
    if draw(st.integers(0, 3)) == 0:
        content = content[: draw(st.integers(0, len(content)))]
    return content


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([200, 200, 201, 204, 302, 400, 404, 409, 429, 500, 503]), mutated())
def test_no_body_makes_the_parsers_raise_or_believe_too_much(status: int, content: bytes) -> None:
    submitted = submit(status, content)
    if isinstance(submitted, Accepted):
        assert submitted.task_id
        assert status in (200, 201, 204)
    views: list[TaskView] = []
    queried = query(status, content)
    if isinstance(queried, Found):
        views.append(queried.view)
    page = parse_page(RawResponse(status, content))
    if isinstance(page, Page):
        views.extend(page.views)
        assert page.rows == len(page.views) + page.malformed
    for view in views:
        assert view.task_id
        assert view.state is not TaskState.SUCCEEDED or view.outputs
        assert all(output.url.startswith(("https://", "http://")) for output in view.outputs)
        assert view.units_micros is None or view.units_micros >= 0
    for text in (repr(submitted), repr(queried), repr(page)):
        assert len(text) < 60_000
        text.encode("utf-8")


@settings(max_examples=200)
@given(st.integers(100, 599), st.binary(max_size=200))
def test_no_bytes_are_ever_taken_for_an_acceptance(status: int, content: bytes) -> None:
    assert not isinstance(submit(status, content), Accepted)
    assert not isinstance(query(status, content), Found | NotFound)
