"""Work that an operator may stop. The first Ctrl-C or SIGTERM ends it after the current step, the second one at once.

The work runs in a thread of its own, and the main thread waits. A signal handler runs in the main thread between any
two instructions, so it would deadlock if it set an event while that thread holds the event's lock.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

LOOK_S: Final = 0.25  # seconds between two calls of `watch`

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Work(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[threading.Event], T], stop: threading.Event) -> None:
        super().__init__(name="work", daemon=False)
        self._work = work
        self.stop = stop
        self.result: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self._work(self.stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self.error = error


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
    thread = _Work(work, stop)
    reported = False
    with _signals(stop, at_once):
        thread.start()
        try:
            while thread.is_alive():
                thread.join(LOOK_S)
                if stop.is_set() and not reported:
                    reported = True
                    stopping()
                watch()
        finally:
            stop.set()
            thread.join()
    if thread.error is not None:
        raise thread.error
    watch()
    return thread.result  # type: ignore[return-value]  # it ended without an error, so it has one


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
