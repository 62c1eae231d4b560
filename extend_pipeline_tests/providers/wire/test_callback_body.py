"""A callback's body names one task or none; no body makes the reader raise."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extend_pipeline.providers.wire.callback_body import BODY_CAP, named_task
from extend_pipeline.providers.wire.json import text_id
from extend_pipeline_tests.providers.kling.bodies import DONE, done, envelope
from extend_pipeline_tests.providers.wire import upstream_bodies as bodies
from extend_pipeline_tests.providers.wire.test_any_body import BODIES, ERRORS, mutated

KLING_ID: Final = DONE["task_id"]
CALLED: Final = [
    bodies.body(DONE),
    bodies.body(done(task_status="failed")),
    envelope(DONE),
    bodies.gateway(),
    bodies.body(bodies.generation()),
    bodies.wrapped(),
]


def test_the_documented_bodies_name_their_task() -> None:
    assert named_task(bodies.body(DONE)) == KLING_ID
    assert named_task(envelope(DONE)) == KLING_ID
    assert named_task(bodies.gateway()) == bodies.GATEWAY_ID
    assert named_task(bodies.body(bodies.generation())) == bodies.LUMA_ID
    assert named_task(bodies.wrapped()) == bodies.LUMA_ID
    assert named_task(bodies.wrapped("completed")) == bodies.LUMA_ID


@pytest.mark.parametrize(
    ("body", "task_id"),
    [
        ('{"task_id": 827942411241803822}', "827942411241803822"),
        ('{"task_id": 9007199254740993}', "9007199254740993"),
        ('{"id": "message-1", "data": {"task_id": "7"}}', "7"),
        ('{"id": "message-1", "task_id": "7"}', "7"),
        ('{"task_id": "7", "data": {"task_id": 7}}', "7"),
        ('{"data": {"id": "7"}}', "7"),
        ('{"task_id": null, "id": "7"}', "7"),
        ('{"task_id": "", "id": "7"}', "7"),
        ('\ufeff{"task_id": "7"}{"task_id": "8"}', "7"),
        ('{"task_id": "7", "data": {"task_id": "8"}}', None),
        ('{"task_id": "7", "task_id": "8"}', None),
        ('{"id": "7", "data": {"id": "8"}}', None),
        ('{"task_id": 8.27942411241803822e17}', None),
        ('{"task_id": 7.0, "id": "8"}', None),
        ('{"task_id": true}', None),
        ('{"task_id": -7}', None),
        ('{"task_id": ["7"]}', None),
        ('{"task_id": {"id": "7"}}', None),
        ('{"task_id": "a b"}', None),
        ('{"task_id": "a\\u0000b"}', None),
        ('{"task_id": ".."}', None),
        ('{"task_id": "\\u202e7"}', None),
        ('[{"task_id": "7"}]', None),
        ('"7"', None),
        ("7", None),
        ("null", None),
        ("", None),
        ("task_id=7", None),
        ("<html><title>7</title>", None),
        ('{"task_id": "7"', None),
        ('{"a": {"task_id": "7"}}', None),
    ],
)
def test_a_body_names_one_task_or_none(body: str, task_id: str | None) -> None:
    assert named_task(body.encode()) == task_id


def test_size_and_depth_are_bounded() -> None:
    body = b'{"task_id": "7"}'
    assert named_task(body.ljust(BODY_CAP)) == "7"
    assert named_task(body.ljust(BODY_CAP + 1)) is None
    assert named_task(b'{"task_id": "' + b"7" * 257 + b'"}') is None
    assert named_task(b'{"task_id": "7", "x": ' + b"[" * 30_000 + b"]" * 30_000 + b"}") is None
    assert named_task(b'{"task_id": ' + b"9" * 5_000 + b"}") is None


def test_thousands_of_mutated_bodies_name_a_possible_id_or_nothing() -> None:
    chance = random.Random("callbacks")
    named = 0
    for number in range(BODIES):
        content = mutated(chance, CALLED + ERRORS)
        try:
            name = named_task(content)
        except Exception as error:
            raise AssertionError(f"body {number}: {content!r}") from error
        named += name is not None
        assert name is None or text_id(name) == name
    assert named > BODIES / 10


_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["task_id", "id", "data", "x"]), inner),
)


@given(st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_no_bytes_raise(content: bytes) -> None:
    name = named_task(content)
    assert name is None or text_id(name) == name


@given(st.integers(0, 10**39), st.sampled_from(["task_id", "id"]), st.booleans())
def test_integers_are_exact(number: int, key: str, wrapped: bool) -> None:
    body: Any = {key: number}
    assert named_task(json.dumps({"data": body} if wrapped else body).encode()) == str(number)
