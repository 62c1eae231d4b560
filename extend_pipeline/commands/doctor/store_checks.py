"""Doctor's look at the media store: are the films there that the ledger knows, and, where asked for, sound?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from extend_pipeline.commands.doctor.diagnostics import Finding, ok, problem, warning
from extend_pipeline.engine.guards.process import DOUBT_TODO
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.deep_check import DeepCheck, check_deeply
from extend_pipeline.engine.store.missing import StoreNow, store_now, what_to_do

CHECK: Final = "films"
MAX_NAMED: Final = 10  # files in doctor's table; the rest is counted
MIB: Final = 1024**2


def check_store(pipeline: Pipeline) -> Iterator[Finding]:
    """Yield whether each file is there, by name and length."""
    yield from _told(store_now(pipeline), pipeline.store.place)


def check_store_deeply(pipeline: Pipeline, *, shown: Callable[[DeepCheck], None]) -> Iterator[Finding]:
    """Yield whether the bytes of each file have the hash that they had when it was stored. What is damaged is written
    down, so that it is fetched again."""
    done = check_deeply(pipeline, on_progress=shown)
    for path in done.damaged[:MAX_NAMED]:
        yield problem(CHECK, f"{path} is damaged: its bytes have another hash", "extend-pipeline advance")
    if len(done.damaged) > MAX_NAMED:
        yield problem(CHECK, f"and {len(done.damaged) - MAX_NAMED} more are damaged", "extend-pipeline advance")
    whence = "" if not done.began_at else f", from {done.began_at}/ on, where an earlier check was ended"
    message = f"{done.files} files of {done.bytes / MIB:.1f} MiB were read{whence}; damaged: {len(done.damaged)}"
    if done.unreadable:
        yield problem(CHECK, f"{done.unreadable[0]} can't be read", "look at the disk")
    yield ok(CHECK, message)


def _told(now: StoreNow, folder: str) -> Iterator[Finding]:
    if now.doubt:
        yield problem(CHECK, f"{folder}: {now.doubt}. Nothing is submitted meanwhile", DOUBT_TODO)
    for missing in now.missing[:MAX_NAMED]:
        yield (problem if missing.lost else warning)(CHECK, missing.describe(), what_to_do(missing))
    if len(now.missing) > MAX_NAMED:
        yield warning(CHECK, f"and {len(now.missing) - MAX_NAMED} more files are gone", "extend-pipeline status --json")
    if now.unknown:
        named = ", ".join(now.unknown_paths)
        message = f"{now.unknown} films ({now.unknown_bytes / MIB:.1f} MiB) are known to no attempt: {named}"
        yield warning(CHECK, message, "look whether this is the right ledger; what just arrived is known in a moment")
    if now.is_complete:
        yield ok(CHECK, f"all {now.expected} files that the ledger knows are in {folder}")
