"""Work that an operator may stop. The first Ctrl-C or SIGTERM ends it after the current step, the second one at once.

The work runs in a thread of its own, and the main thread waits. A signal handler runs in the main thread between any
two instructions, so it would deadlock if it set an event while that thread holds the event's lock.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Final, TypeVar

T = TypeVar("T")

LOOK_S: Final = 0.25  # seconds between two calls of `watch`

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def run(
    work: Callable[[threading.Event], T],
    *,
    watch: Callable[[], None],
    stopping: Callable[[], None],
    at_once: Callable[[], None],
) -> T:
    """Run `work` in a thread and return its result, or raise its error.

    `watch` is called every LOOK_S seconds and once at the end, `stopping` after the first signal, and `at_once` just
    before the second signal ends the process.
    """
    stop = threading.Event()
    reported = False
    # the block of the executor ends when the work has ended, so that signals are handled until then
    with _signals(stop, at_once), ThreadPoolExecutor(1, "work") as executor:
        running = executor.submit(work, stop)
        try:
            while not running.done():
                wait([running], LOOK_S)
                if stop.is_set() and not reported:
                    reported = True
                    stopping()
                watch()
        finally:
            stop.set()
    result = running.result()
    watch()
    return result


@contextmanager
def _signals(stop: threading.Event, at_once: Callable[[], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set a signal handler
        return

    def on_signal(number: int, _frame: Any) -> None:
        if not stop.is_set():
            stop.set()
            return
        at_once()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    with handled(_SIGNALS, on_signal):
        yield


@contextmanager
def handled(signals: Iterable[int], handler: Any) -> Iterator[None]:
    """Handle signals by `handler` in the block, and as before after it."""
    before = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
