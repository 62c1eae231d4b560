"""Keep the task ids of accepted POSTs that could not be written into the ledger, so that no paid task is lost because a
disk was full. The next recovery replays them."""

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from extend_pipeline.base.disk import sync_folder
from extend_pipeline.base.private import make_private_folder
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.submit.record_outcome import SubmitResult
from extend_pipeline.ledger.states import AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.late_acceptance import adopt_late_task
from extend_pipeline.providers.protocol import Accepted, Duplicate, Found

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SpooledAcceptance:
    """An accepted task whose id is in a spool file instead of the ledger, or (`kept` False) only in the log."""

    attempt_id: str
    where: str
    account: str
    task_id: str
    kept: bool = True


class UnrecordedError(RuntimeError):
    """Outcomes could not be written into the ledger. The message names each accepted task and what happens to it."""

    def __init__(self, acceptances: Sequence[SpooledAcceptance], cause: BaseException) -> None:
        super().__init__(
            "; ".join(
                [f"the ledger could not be written: {cause}", *(_describe(acceptance) for acceptance in acceptances)]
            )
        )
        self.acceptances = tuple(acceptances)
        self.__cause__ = cause


def spool_acceptances(pipeline: Pipeline, results: Sequence[SubmitResult]) -> list[SpooledAcceptance]:
    """Write each accepted task into a file of its own, atomically and synced, and log it. Where even that fails, only
    the log has it. Return the accepted tasks, each with whether it was kept."""
    acceptances = []
    for result in results:
        task_id = _task_of(result)
        if task_id is None:
            continue
        request = result.request
        where = f"{request.video_key}/{request.hop}"
        acceptance = SpooledAcceptance(request.attempt_id, where, request.account, task_id)
        try:
            _write(_folder(pipeline), acceptance)
        except OSError as error:
            acceptance = SpooledAcceptance(request.attempt_id, where, request.account, task_id, kept=False)
            _log.critical("%s (%s)", _describe(acceptance), error)
        else:
            _log.error("%s", _describe(acceptance))
        acceptances.append(acceptance)
    return acceptances


def replay_spool(pipeline: Pipeline) -> list[str]:
    """Write the spooled acceptances into the ledger; return VIDEO/HOP of those that it took. Without any it only lists
    a folder. They wait while the ledger is not the one that the home knows."""
    replayed: list[str] = []
    paths = sorted(_folder(pipeline).glob("*.json"))
    if not paths or not look(pipeline.settings, pipeline.ledger).may_spend:
        return replayed
    for path in paths:
        try:
            acceptance = SpooledAcceptance(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue  # another process was quicker
        except (OSError, ValueError, TypeError) as error:
            _set_aside(path, f"{path} can't be read ({error}): look for a task id in it")
            continue
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            moved = transitions.submitted(
                tx, acceptance.attempt_id, task_id=acceptance.task_id, found_by="post", due_at=tx.now_ms
            )
            if isinstance(moved, transitions.Stale) and moved.state is AttemptState.WRITTEN_OFF:
                moved = adopt_late_task(tx, acceptance.attempt_id, task_id=acceptance.task_id)
        if isinstance(moved, transitions.Stale) and moved.state is None:
            hint = "was an older copy restored? reconcile finds what was paid"
            _set_aside(path, f"{_accepted(acceptance)}, and this ledger knows nothing of it: {hint}")
            continue
        # a stale one is recorded as the event late_answer, so the file is no longer needed either way
        path.unlink(missing_ok=True)
        if isinstance(moved, transitions.Moved):
            replayed.append(acceptance.where)
    return replayed


def _set_aside(path: Path, message: str) -> None:
    """Rename a file that can't be replayed, so that it is reported once and doesn't stop the others."""
    with contextlib.suppress(OSError):
        path.replace(path.with_suffix(".aside"))
    _log.critical("%s", message)


def _task_of(result: SubmitResult) -> str | None:
    match result.outcome, result.found:
        case Accepted(task_id), _:
            return task_id
        case Duplicate(), Found(view):
            return view.task_id
        case _:
            return None


def _accepted(acceptance: SpooledAcceptance) -> str:
    return f"account {acceptance.account} accepted {acceptance.where} as task {acceptance.task_id}"


def _describe(acceptance: SpooledAcceptance) -> str:
    if acceptance.kept:
        return f"{_accepted(acceptance)}; its id is kept and goes into the ledger with the next advance"
    adopt = f"extend-pipeline resolve {acceptance.where} adopt {acceptance.task_id}"
    return f"{_accepted(acceptance)}, and its id could be kept nowhere: {adopt}"


def _folder(pipeline: Pipeline) -> Path:
    return pipeline.settings.state_dir / "answers"


def _write(folder: Path, acceptance: SpooledAcceptance) -> None:
    make_private_folder(folder)
    name = hashlib.sha256(f"{acceptance.attempt_id}\0{acceptance.task_id}".encode("utf-8", "surrogatepass")).hexdigest()
    part, final = folder / f"{name}.part", folder / f"{name}.json"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(acceptance), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(final)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    sync_folder(folder.parent)  # on the first time the folder's own name is new as well
