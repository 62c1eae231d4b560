"""Failpoints do nothing unless armed; an armed one acts at the hit that it names."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import extend_pipeline
from extend_pipeline.base import failpoints
from extend_pipeline.base.failpoints import FailpointError, arm, failpoint


def test_nothing_happens_unless_a_test_armed_the_name() -> None:
    for name in failpoints.POINTS:
        failpoint(name)
    arm("submit.after_post=raise")
    failpoint("submit.after_claim")
    with pytest.raises(FailpointError, match=r"submit\.after_post"):
        failpoint("submit.after_post")


def test_only_the_nth_hit_raises() -> None:
    arm("poll.after_query=raise@2")
    failpoint("poll.after_query")
    with pytest.raises(FailpointError):
        failpoint("poll.after_query")
    failpoint("poll.after_query")


@pytest.mark.parametrize("spec", ["nowhere=kill", "submit.after_post=explode", "submit.after_post"])
def test_a_wrong_name_or_action_is_refused_at_once(spec: str) -> None:
    with pytest.raises(ValueError, match=spec.partition("=")[0]):
        arm(spec)


def test_kill_is_a_real_kill() -> None:
    code = (
        "from extend_pipeline.base import failpoints as f; f.arm_from_environment(); f.failpoint('submit.after_post')"
    )
    environment = {failpoints.ENVIRONMENT: "submit.after_post=kill"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL


def test_the_list_has_exactly_the_failpoints_of_the_code() -> None:
    package = Path(extend_pipeline.__file__).parent
    in_code = set()
    for path in package.rglob("*.py"):
        in_code.update(re.findall(r'failpoint\("([a-z_.]+)"\)', path.read_text()))
    assert in_code == set(failpoints.POINTS)
