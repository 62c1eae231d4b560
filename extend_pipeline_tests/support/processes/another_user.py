"""Functions run as a user who is not root and owns no file of the home, because root may write anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final, TypeVar

from extend_pipeline_tests.support.processes.children import CONTEXT

_UNPRIVILEGED_UID: Final = 65534
_Result = TypeVar("_Result")


def as_another_user(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return what a function returns in a process that isn't root's: of user 65534 where root runs the tests."""
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as pool:
        return pool.submit(_call, function, arguments).result(60)


def _call(function: Callable[..., _Result], arguments: tuple[Any, ...]) -> _Result:
    if os.geteuid() == 0:
        os.setuid(_UNPRIVILEGED_UID)
    return function(*arguments)
