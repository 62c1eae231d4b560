"""Keeps the task ids of accepted POSTs that the ledger would not take: a paid task must not be forgotten because a disk
was full for a moment. The next recovery hands them to the ledger."""

from __future__ import annotations

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
    """An accepted task whose id stands in a file instead of the ledger, or (`kept` False) nowhere but in the log."""

    attempt_id: str
    where: str
    account: str
    task_id: str
    kept: bool = True


class UnrecordedError(RuntimeError):
    """Answers could not be written into the ledger. The message names each accepted task and what happens to it."""

    def __init__(self, answers: Sequence[SpooledAcceptance], cause: BaseException) -> None:
        super().__init__(
            "; ".join([f"the ledger could not be written: {cause}", *(_describe(each) for each in answers)])
        )
        self.answers = tuple(answers)
        self.__cause__ = cause


def spool_acceptances(pipeline: Pipeline, answers: Sequence[SubmitResult]) -> list[SpooledAcceptance]:
    """Write each accepted task into a file of its own, whole and on the disk, and say so in the log. Where even that
    fails, the log line is all there is. Answers what was kept, and how."""
    kept = []
    for answered in answers:
        task_id = _task_of(answered)
        if task_id is None:
            continue
        request = answered.request
        where = f"{request.video_key}/{request.hop}"
        answer = SpooledAcceptance(request.attempt_id, where, request.account, task_id)
        try:
            _write(_folder(pipeline), answer)
        except OSError as error:
            answer = SpooledAcceptance(request.attempt_id, where, request.account, task_id, kept=False)
            _log.critical("%s (%s)", _describe(answer), error)
        else:
            _log.error("%s", _describe(answer))
        kept.append(answer)
    return kept


def replay_spool(pipeline: Pipeline) -> list[str]:
    """Give the ledger what was kept from it; answers VIDEO/HOP of what it took. Costs a look at a folder. While the
    ledger is not the one that the home knows, they wait for that one."""
    handed_in: list[str] = []
    paths = sorted(_folder(pipeline).glob("*.json"))
    if not paths or not look(pipeline.settings, pipeline.ledger).may_spend:
        return handed_in
    for path in paths:
        try:
            answer = SpooledAcceptance(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue  # another process was quicker
        except (OSError, ValueError, TypeError) as error:
            _set_aside(path, f"{path} can't be read ({error}): look for a task id in it")
            continue
        with pipeline.ledger.write(now_ms=pipeline.now_ms(), actor=pipeline.owner) as tx:
            moved = transitions.submitted(
                tx, answer.attempt_id, task_id=answer.task_id, found_by="post", due_at=tx.now_ms
            )
            if isinstance(moved, transitions.Stale) and moved.state is AttemptState.WRITTEN_OFF:
                moved = adopt_late_task(tx, answer.attempt_id, task_id=answer.task_id)
        if isinstance(moved, transitions.Stale) and moved.state is None:
            told = f"account {answer.account} accepted {answer.where} as task {answer.task_id}, and this ledger knows"
            _set_aside(path, f"{told} nothing of it: was an older copy put back? reconcile finds what was paid")
            continue
        # a stale one is in the events as a late answer, so the file has done its duty either way
        path.unlink(missing_ok=True)
        if isinstance(moved, transitions.Moved):
            handed_in.append(answer.where)
    return handed_in


def _set_aside(path: Path, message: str) -> None:
    """Keep what nobody can hand in under another name, so that it is told once and stops nothing else."""
    with contextlib.suppress(OSError):
        path.replace(path.with_suffix(".aside"))
    _log.critical("%s", message)


def _task_of(answered: SubmitResult) -> str | None:
    match answered.outcome, answered.found:
        case Accepted(task_id), _:
            return task_id
        case Duplicate(), Found(view):
            return view.task_id
        case _:
            return None


def _describe(answer: SpooledAcceptance) -> str:
    told = f"account {answer.account} accepted {answer.where} as task {answer.task_id}"
    if answer.kept:
        return f"{told}; its id is kept and goes into the ledger with the next advance"
    return f"{told}, and its id could be kept nowhere: extend-pipeline resolve {answer.where} adopt {answer.task_id}"


def _folder(pipeline: Pipeline) -> Path:
    return pipeline.settings.state_dir / "answers"


def _write(folder: Path, answer: SpooledAcceptance) -> None:
    make_private_folder(folder)
    name = hashlib.sha256(f"{answer.attempt_id}\0{answer.task_id}".encode("utf-8", "surrogatepass")).hexdigest()
    part, final = folder / f"{name}.part", folder / f"{name}.json"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(answer), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(final)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(folder)
    sync_folder(folder.parent)  # the folder's own name is new as well, the first time
