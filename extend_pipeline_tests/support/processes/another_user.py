"""What a user sees who is not root and owns nothing of it; root may write anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final, TypeVar

from extend_pipeline_tests.support.processes.children import CONTEXT

_NOBODY: Final = 65534
_Result = TypeVar("_Result")


def as_another_user(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Return what a function returns in a process of a user that isn't root: of another one, where root runs us."""
    with ProcessPoolExecutor(1, mp_context=CONTEXT) as another:
        return another.submit(_call, function, arguments).result(60)


def _call(function: Callable[..., _Result], arguments: tuple[Any, ...]) -> _Result:
    if os.geteuid() == 0:
        os.setuid(_NOBODY)
    return function(*arguments)
