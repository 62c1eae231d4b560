"""Doctor's checks of the media store: whether the ledger's films exist and, with `--deep`, whether they are intact."""

from collections.abc import Callable, Iterator
from typing import Final

from extend_pipeline.commands.doctor.diagnostics import Finding, ok, problem, warning
from extend_pipeline.engine.guards.process import DOUBT_TODO
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.store.deep_check import DeepCheck, check_deeply
from extend_pipeline.engine.store.missing import store_now, what_to_do

CHECK: Final = "films"
MAX_NAMED: Final = 10  # files that are listed; the rest is counted
MIB: Final = 1024**2


def check_store(pipeline: Pipeline) -> Iterator[Finding]:
    """Yield whether each of the ledger's files exists with its length."""
    now, folder = store_now(pipeline), pipeline.store.place
    if now.doubt:
        yield problem(CHECK, f"{folder}: {now.doubt}. Nothing is submitted meanwhile", DOUBT_TODO)
    for missing in now.missing[:MAX_NAMED]:
        yield (problem if missing.lost else warning)(CHECK, missing.describe(), what_to_do(missing))
    if len(now.missing) > MAX_NAMED:
        yield warning(CHECK, f"and {len(now.missing) - MAX_NAMED} more files are gone", "extend-pipeline status --json")
    if now.unknown:
        size = f"{now.unknown_bytes / MIB:.1f} MiB"
        message = f"{now.unknown} films ({size}) belong to no attempt: {', '.join(now.unknown_paths)}"
        todo = "check whether this is the right ledger; a film that has just arrived is recorded in a moment"
        yield warning(CHECK, message, todo)
    if now.is_complete:
        yield ok(CHECK, f"all {now.expected} files that the ledger knows are in {folder}")


def check_store_deeply(pipeline: Pipeline, *, shown: Callable[[DeepCheck], None]) -> Iterator[Finding]:
    """Yield whether each file still has the hash that it was stored with. Damaged files are recorded for the next
    advance, which fetches them again. `shown` is called while files are read."""
    done = check_deeply(pipeline, on_progress=shown)
    for path in done.damaged[:MAX_NAMED]:
        yield problem(CHECK, f"{path} is damaged: its bytes have another hash", "extend-pipeline advance")
    if len(done.damaged) > MAX_NAMED:
        yield problem(CHECK, f"and {len(done.damaged) - MAX_NAMED} more are damaged", "extend-pipeline advance")
    resumed = f", from {done.first_folder}/ on, where an earlier check was stopped" if done.first_folder else ""
    if done.unreadable:
        yield problem(CHECK, f"{done.unreadable[0]} can't be read", "check the disk")
    size = f"{done.bytes / MIB:.1f} MiB"
    yield ok(CHECK, f"{done.files} files of {size} were read{resumed}; damaged: {len(done.damaged)}")
