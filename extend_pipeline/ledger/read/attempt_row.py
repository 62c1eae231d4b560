"""Rows of `attempts` and `schedule` as values.

An attempt is a named tuple, because a plan reads tens of thousands of them, and a frozen dataclass of so many fields
takes twenty times as long to create.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.look import LastLook, LookCause
from extend_pipeline.ledger.states import ADOPTED, AttemptState


class AttemptRow(NamedTuple):
    """One attempt: the table's columns, in their order. Times in UTC ms, durations in ms, units and prices in
    millionths, the seam in hundredths of a decibel."""

    attempt_id: str
    video_key: str
    hop: int
    generation: int
    try_no: int
    chain_digest: str
    account: str
    provider: str
    submit_class: str
    state: AttemptState
    external_task_id: str
    task_id: str | None
    root_video_id: str | None
    parent_attempt_id: str | None
    parent_video_id: str
    parent_duration_ms: int | None
    params: str
    request: str
    mode: str | None
    unit: str
    predicted_micros: int
    unit_price_micros: int
    currency: str
    budget_day: str
    failed_tasks_charged: str
    owner: str
    lease_until: int
    claimed_at: int
    sending_at: int | None
    in_doubt_at: int | None
    submitted_at: int | None
    completed_at: int | None
    finished_at: int | None
    stored_at: int | None
    absences: int
    last_absent_at: int | None
    error_reason: str | None
    error_code: str | None
    error_message: str | None
    evidence: str | None
    resubmit_allowed: bool
    video_id: str | None
    url: str | None
    watermark_url: str | None
    parent_url: str | None
    reported_duration_ms: int | None
    expires_at: int | None
    settled_micros: int | None
    units_basis: str | None
    sha256: str | None
    path: str | None
    bytes: int | None
    width: int | None
    height: int | None
    codec: str | None
    probed_duration_ms: int | None
    output_kind: str | None
    seam_psnr_centi_db: int | None
    parent_is_prefix: bool | None
    poster_path: str | None
    film_sha256: str | None
    film_path: str | None
    film_duration_ms: int | None
    film_note: str | None
    callback_digest: str | None
    words: str | None
    purchase: str | None
    seq: int

    @property
    def where(self) -> str:
        """Return VIDEO/HOP, as operators type it."""
        return f"{self.video_key}/{self.hop}"

    @property
    def is_adopted(self) -> bool:
        """Return whether its task was adopted from a provider's statement, so that it was never planned or predicted
        here."""
        return self.chain_digest == ADOPTED

    @property
    def film_ms(self) -> int | None:
        """Return the length of the film after a stored hop (ms): the length of the file, plus its parent's when the
        file is only the new part."""
        if self.film_duration_ms is not None or self.probed_duration_ms is None:
            return self.film_duration_ms
        before_ms = self.parent_duration_ms or 0 if self.output_kind == "segment" else 0
        return before_ms + self.probed_duration_ms

    @property
    def task(self) -> str:
        """Return the task's ID, which every attempt has from `submitted` on. Raises ValueError if there is none."""
        return _known(self.task_id, "task", self.attempt_id)

    @property
    def result_url(self) -> str:
        """Return the result's URL, which every attempt has from `succeeded` on. Raises ValueError if there is none."""
        return _known(self.url, "URL", self.attempt_id)


def _known(value: str | None, name: str, attempt_id: str) -> str:
    if value is None:
        raise ValueError(f"attempt {attempt_id} has no {name}")
    return value


@dataclass(frozen=True, slots=True)
class Hint:
    """One row of `schedule`: when the attempt is due (UTC ms), which worker has leased it (empty: none), and the result
    of the last look."""

    look: LastLook
    attempt_id: str
    account: str
    due_at: int
    owner: str


@dataclass(frozen=True, slots=True)
class ScheduledAttempt:
    """An attempt that a worker has leased, with the result of the last look."""

    attempt: AttemptRow
    look: LastLook


class DueAttempt(NamedTuple):
    """What a poll needs to know of an attempt that is due. Times in UTC ms; `tries` counts looks in a row without a
    result."""

    attempt_id: str
    video_key: str
    hop: int
    state: str
    task_id: str | None
    submitted_at: int | None
    expires_at: int | None
    due_at: int
    tries: int

    @property
    def where(self) -> str:
        """Return VIDEO/HOP, as operators type it."""
        return f"{self.video_key}/{self.hop}"

    @property
    def task(self) -> str:
        """Return the task's ID, which every attempt has from `submitted` on. Raises ValueError if there is none."""
        return _known(self.task_id, "task", self.attempt_id)


DUE_COLUMNS: Final = tuple(
    (tables.schedule if name in ("due_at", "tries") else tables.attempts).c[name] for name in DueAttempt._fields
)
LOOK_COLUMNS: Final = tuple(tables.schedule.c[name] for name in LastLook.__slots__)
HINT_COLUMNS: Final = (*(tables.schedule.c[name] for name in Hint.__slots__ if name != "look"), *LOOK_COLUMNS)
_STATE: Final = AttemptRow._fields.index("state")
_STATES: Final = {state.value: state for state in AttemptState}


def attempt_row(columns: Sequence[Any]) -> AttemptRow:
    """Return an attempt from the values of the table's columns."""
    return AttemptRow._make((*columns[:_STATE], _STATES[columns[_STATE]], *columns[_STATE + 1 :]))


def scheduled_attempt(columns: Sequence[Any]) -> ScheduledAttempt:
    """Return a leased attempt from the values of the columns of `attempts` and of LOOK_COLUMNS."""
    width = len(AttemptRow._fields)
    return ScheduledAttempt(attempt_row(columns[:width]), _look(columns[width:]))


def hint(columns: Sequence[Any]) -> Hint:
    """Return a hint from the values of HINT_COLUMNS."""
    width = len(HINT_COLUMNS) - len(LOOK_COLUMNS)
    return Hint(_look(columns[width:]), *columns[:width])


def _look(columns: Sequence[Any]) -> LastLook:
    note, cause, *numbers = columns
    return LastLook(note, None if cause is None else LookCause(cause), *numbers)
