"""No body makes a parser raise, or report more than the body states.

Hypothesis mutates bodies and shrinks what it finds. For volume, a seeded generator of the same mutations runs beside
it: EXTEND_PIPELINE_TEST_BODIES sets how many bodies each parser gets (20,000 by default, 240,000 in all).
"""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extend_pipeline.providers.kling.billing_parse import BillingPage, parse_billing_page
from extend_pipeline.providers.kling.parse import parse_page, parse_query, parse_submit
from extend_pipeline.providers.kling_gateway.parse import parse_gateway_query, parse_gateway_submit
from extend_pipeline.providers.luma.parse import parse_luma_many, parse_luma_query, parse_luma_submit
from extend_pipeline.providers.protocol import Accepted, Found, Page, TaskState, TaskView
from extend_pipeline.providers.vidu.parse import parse_vidu_query, parse_vidu_submit
from extend_pipeline.providers.wire.response import RawResponse
from extend_pipeline_tests.providers.kling.billing_bodies import ROW, page, row
from extend_pipeline_tests.providers.kling.bodies import CREATED, DONE, SINGLE, done, envelope, failure
from extend_pipeline_tests.providers.wire import upstream_bodies as bodies

BODIES: Final = int(os.environ.get("EXTEND_PIPELINE_TEST_BODIES", "20000"))
STATUSES: Final = (200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 408, 409, 429, 500, 503)
IDS: Final = (DONE["task_id"], bodies.GATEWAY_ID, bodies.VIDU_ID, bodies.LUMA_ID)

KLING = [bodies.body(CREATED), bodies.body(SINGLE), envelope(DONE), envelope(done(task_status="failed"))]
GATEWAY = [bodies.GATEWAY_CREATED, bodies.gateway(), bodies.gateway(task_status="processing")]
VIDU = [bodies.VIDU_CREATED, bodies.VIDU_DONE, bodies.vidu(), bodies.vidu("Failure"), bodies.vidu("Expired")]
LUMA = [bodies.LUMA_CREATED, bodies.body(bodies.generation()), bodies.wrapped(), bodies.wrapped("completed")]
ERRORS = [
    failure(1102),
    failure(1201),
    bodies.error_object("no", "param_error"),
    bodies.body({"code": "text", "message": "no", "data": None}),
    bodies.body({"success": False, "error": {"code": "x", "message": "no"}}),
    bodies.body({"detail": {"message": "no"}}),
    bodies.body({"error": "no"}),
]
MANY = [bodies.body([bodies.generation(), bodies.generation("failed", id="5")]), bodies.body([])]

BILLS = [page(ROW, row(deduction_amount="-2")), page(ROW, more=True, cursor="c2"), page()]
BELIEVED: Final = (Accepted, Found, BillingPage)

Parser = Callable[[RawResponse], object]


def _kling_submit(raw: RawResponse) -> object:
    return parse_submit(raw, external_task_id="string")


def _kling_query(raw: RawResponse) -> object:
    return [parse_query(raw, requested=task_id) for task_id in IDS[:1]]


def _kling_page(raw: RawResponse) -> object:
    page = parse_page(raw)
    return [Found(view) for view in page.views] if isinstance(page, Page) else page


def _luma_many(raw: RawResponse) -> object:
    outcomes = parse_luma_many(raw, requested=[bodies.LUMA_ID, "5"])
    return list(outcomes.values()) if isinstance(outcomes, dict) else outcomes


PARSERS: dict[str, tuple[Parser, list[bytes]]] = {
    "kling submit": (_kling_submit, [*KLING, bodies.GATEWAY_CREATED]),
    "kling query": (_kling_query, KLING),
    "kling page": (_kling_page, [envelope([DONE, done(task_status="failed")]), envelope([DONE]), envelope([])]),
    "gateway submit": (parse_gateway_submit, GATEWAY + KLING),
    "gateway query": (lambda raw: parse_gateway_query(raw, requested=bodies.GATEWAY_ID), GATEWAY),
    "vidu submit": (parse_vidu_submit, VIDU),
    "vidu query": (lambda raw: parse_vidu_query(raw, requested=bodies.VIDU_ID), VIDU),
    "luma submit": (lambda raw: parse_luma_submit(raw, parent_task_id="parent"), LUMA + GATEWAY),
    "luma query": (lambda raw: parse_luma_query(raw, requested=bodies.LUMA_ID), LUMA),
    "luma many": (_luma_many, MANY + LUMA),
    "kling bill": (parse_billing_page, BILLS),
}

# values that are nearly valid: they get further into a parser than noise does
NEAR: Final[tuple[object, ...]] = (
    None, True, False, 0, 1, -1, 200, 1102, 1201, 1e308, 2**63, "", " ", "0", "200", ".", "..", "x" * 300, "\x00",
    "\ud800", "succeed", "Success", "completed", "failed", "FAILED", [], {}, [None], [[]], {"id": 1}, {"url": "x"},
    "https://a.b/c", "http://a b", ["https://a.b/c"], *IDS, int(IDS[0]), "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59+00:00", "99999-01-01T00:00:00Z", "1e9", [{"task_id": "5"}], {"message": {"error": []}},
)  # fmt: skip


def check(status: int, outcomes: object) -> None:
    """Assert what holds for every outcome of every parser."""
    for outcome in outcomes if isinstance(outcomes, list) else [outcomes]:
        shown = repr(outcome)
        assert len(shown) < 80_000
        shown.encode("utf-8")
        match outcome:
            case Accepted(task_id=task_id):
                assert task_id
                assert 200 <= status < 300
            case Found(view):
                assert 200 <= status < 300
                _check_view(view)
            case BillingPage():
                assert 200 <= status < 300
                _check_money(outcome)
            case _:
                pass


def _check_money(page: BillingPage) -> None:
    assert page.malformed >= 0
    assert page.next_cursor != ""
    assert all(billed.task_id and type(billed.units_micros) is int for billed in page.rows)
    assert all(billed.at_ms is None or billed.at_ms > 0 for billed in page.rows)


def _check_view(view: TaskView) -> None:
    assert view.task_id
    if view.state is TaskState.SUCCEEDED:
        assert view.outputs
    else:
        assert view.added_ms is None
    assert all(output.url.startswith(("https://", "http://")) for output in view.outputs)
    assert view.units_micros is None or view.units_micros >= 0
    assert view.added_ms is None or view.added_ms > 0
    assert view.expires_ms is None or view.expires_ms > 0


def mutated(chance: random.Random, originals: list[bytes]) -> bytes:
    """Return one of the bodies with some values replaced or removed, perhaps followed by another, cut or garbled."""
    document: Any = json.loads(chance.choice(originals))
    for _ in range(chance.randrange(4)):
        document = _changed(chance, document)
    content = json.dumps(document).encode()
    if chance.random() < 0.1:
        content += chance.choice(originals)
    if chance.random() < 0.15:
        at = chance.randrange(len(content) + 1)
        content = content[:at] + chance.randbytes(chance.randrange(4)) + content[at + chance.randrange(4) :]
    if chance.random() < 0.1:
        content = content[: chance.randrange(len(content) + 1)]
    return content


def _changed(chance: random.Random, document: Any) -> Any:
    """Return the document with one value in it replaced, removed, or added from another body."""
    if not isinstance(document, dict | list) or not document or chance.random() < 0.03:
        return copy.deepcopy(chance.choice(NEAR))
    key = chance.choice(list(document)) if isinstance(document, dict) else chance.randrange(len(document))
    inner = document[key]
    if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
        document[key] = _changed(chance, inner)
    elif chance.random() < 0.25:
        del document[key]
    elif isinstance(document, dict) and chance.random() < 0.2:
        document.update(json.loads(chance.choice(ERRORS)))
    else:
        document[key] = copy.deepcopy(chance.choice(NEAR))
    return document


@pytest.mark.parametrize("name", PARSERS)
def test_thousands_of_mutated_bodies(name: str) -> None:
    parse, originals = PARSERS[name]
    chance = random.Random(name)
    believed = 0
    for number in range(BODIES):
        content = mutated(chance, originals + ERRORS)
        status = chance.choice(STATUSES)
        try:
            outcome = parse(RawResponse(status, content))
            check(status, outcome)
        except Exception as error:
            raise AssertionError(f"body {number}, HTTP {status}: {content!r}") from error
        believed += any(isinstance(item, BELIEVED) for item in (outcome if isinstance(outcome, list) else [outcome]))
    # a run in which no body is understood would prove nothing
    assert believed > BODIES / 50


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(STATUSES), st.randoms(use_true_random=False), st.binary(max_size=20))
def test_mutated_bodies_that_can_be_shrunk(name: str, status: int, chance: random.Random, noise: bytes) -> None:
    parse, originals = PARSERS[name]
    check(status, parse(RawResponse(status, mutated(chance, originals + ERRORS))))
    outcome = parse(RawResponse(status, noise))
    check(status, outcome)
    assert not any(isinstance(item, BELIEVED) for item in (outcome if isinstance(outcome, list) else [outcome]))
