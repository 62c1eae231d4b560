"""The worker process that opens bytes from outside, so that no other process has to. `pool.py` starts it.

One JSON document a line: tasks on stdin, and one message per task on stdout:

    {"ok": result}                 the task's result; the first message, true, means that the worker is ready
    {"failed": [errno, message]}   the system's error; ENOMEM: too much memory; 0: an exception in our own code

It ends when stdin ends, also because the process that started it was killed, and between two tasks when its idle time
or its CPU time is over.
"""

import base64
import errno
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO, Final

from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.analysis.examine import Examined, ResultContext, examine
from extend_pipeline.media.check.probe import InvalidFile, ValidFile, check_file
from extend_pipeline.media.isolation.rlimits import Bounds, allow_cpu, confine, cpu_taken
from extend_pipeline.media.libav import FrameError

Task = Mapping[str, Any]
_NO_MEMORY: Final = {"failed": [errno.ENOMEM, ""]}  # built while memory is available


def main(bounds: str) -> None:
    """Run tasks within the bounds (JSON of `Bounds`) until stdin ends, or the idle time or the CPU time is over."""
    limits = Bounds(**json.loads(bounds))
    sys.setrecursionlimit(500)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # keep output of libraries off the message stream
    import av  # noqa: F401 - loaded before the limits, because every task needs it
    import numpy as np  # noqa: F401

    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    confine(limits)
    _send(out, {"ok": True})
    began = cpu_taken()
    while cpu_taken() - began < limits.life_cpu_s:
        try:
            line = tasks.get(timeout=limits.idle_s)
        except queue.Empty:
            break
        task = json.loads(line)
        allow_cpu(task["cpu_s"])
        message = _run(task)
        _send(out, message)
        if message == _NO_MEMORY:
            break  # the remaining memory may be fragmented
    os._exit(0)


def _listen(tasks: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        tasks.put(line)
    os._exit(0)  # also during a task, because no process waits for its result any more


def _send(out: BinaryIO, document: Mapping[str, object]) -> None:
    rest = memoryview(json.dumps(document).encode("ascii") + b"\n")
    while rest:
        rest = rest[out.write(rest) :]


def _run(task: Task) -> Mapping[str, Any]:
    try:
        return {"ok": _TASKS[task["do"]](task)}
    except FrameError as error:
        return {"ok": {"invalid": str(error)}}
    except MemoryError:
        return _NO_MEMORY
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return _NO_MEMORY
        return {"failed": [error.errno or errno.EIO, error.strerror or str(error)]}
    except Exception as error:  # noqa: BLE001 - a film may cause any exception in our own code
        return {"failed": [0, type(error).__name__]}


def _examine(task: Task) -> dict[str, Any]:
    parent, parent_frames, keep, film = (
        None if task[name] is None else Path(task[name]) for name in ("parent", "parent_frames", "keep", "film")
    )
    context = ResultContext(
        parent=parent,
        parent_frames=parent_frames,
        parent_ms=task["parent_ms"],
        kind=None if task["kind"] is None else OutputKind(task["kind"]),
        longest_added_ms=task["longest_added_ms"],
        keep=keep,
        keep_below_ms=task["keep_below_ms"],
        poster_bytes=task["poster_bytes"],
        film=film,
        max_film_bytes=task["max_film_bytes"],
    )
    match examine(Path(task["path"]), context):
        case InvalidFile(reason):
            return {"invalid": reason}
        case Examined(probe, seam, poster, kept, joined):
            return {
                "valid": asdict(probe),
                "seam": None if seam is None else asdict(seam),
                "jpeg": None if poster is None else base64.b64encode(poster).decode("ascii"),
                "kept": kept,
                "film": None if joined is None else asdict(joined),
            }


def _check(task: Task) -> dict[str, Any]:
    match check_file(Path(task["path"])):
        case ValidFile(probe):
            return {"valid": asdict(probe)}
        case InvalidFile(reason):
            return {"invalid": reason}


def _film(task: Task) -> dict[str, Any]:
    from extend_pipeline.media.join.film import Joined, join

    files = {name: Path(task[name]) for name in ("parent", "segment", "out")}
    match join(**files, max_bytes=task["max_bytes"]):
        case Joined() as joined:
            return {"joined": asdict(joined)}
        case InvalidFile(reason):
            return {"invalid": reason}


_TASKS: Final[Mapping[str, Callable[[Task], dict[str, Any]]]] = {
    "check": _check,
    "examine": _examine,
    "film": _film,
}
