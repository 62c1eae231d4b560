"""One video's history in a ledger of its own, by the functions that the engine works with: planned, claimed, sent,
submitted, succeeded, stored. Only the provider and the downloads are left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sqlalchemy import select, update

from benchmarks.generate.films import Film
from benchmarks.generate.home import account_name, write_accounts, write_catalogue
from benchmarks.generate.names import VideoNames, file_of, names_of, upstream_ids
from extend_pipeline.base.days import UTC_ZONE, day_of
from extend_pipeline.config.model.catalogue import Video
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.advance import declare_catalogue, record_progress
from extend_pipeline.engine.declarations import declarations
from extend_pipeline.engine.home import Pipeline, open_home
from extend_pipeline.engine.plan.inputs import plan_input
from extend_pipeline.engine.plan.planner import plan
from extend_pipeline.engine.polling import schedule
from extend_pipeline.engine.polling.apply_task_state import success_data
from extend_pipeline.engine.submit.prepare import claim_request
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.states import POLLED, AttemptState
from extend_pipeline.ledger.write import transitions
from extend_pipeline.ledger.write.claims import claim
from extend_pipeline.media.analysis.classify import OutputKind
from extend_pipeline.media.store import POSTER, MediaRef
from extend_pipeline.providers.protocol import Output, TaskState, TaskView

FIRST_MS: Final = 1_700_006_400_000
"""When every recorded history begins: midnight in UTC, so that it stays within a day."""
FIRST_SEQ: Final = 880_000_000
"""The number before every recorded history's first event."""
HOP_MS: Final = 90_000
"""From a hop's claim to the next one's."""

NOT_RECORDED: Final = ("ledger_head", "declared_catalogue", "earlier_catalogues")
"""Tables that are the whole ledger's, and no video's."""

Rows = Mapping[str, Sequence[Sequence[Any]]]


@dataclass(frozen=True)
class History:
    """What the history of video number 0 has left in a ledger: all rows by table, in the order of their columns, and
    the video's own texts in them. Times begin at FIRST_MS, event numbers after FIRST_SEQ."""

    rows: Rows
    names: VideoNames
    video: Video
    params: tuple[Mapping[str, object], ...]
    events: int
    """How many events there are."""
    lasts_ms: int
    """From the first event to the last one."""


class _Clock:
    def __init__(self) -> None:
        self.ms = FIRST_MS

    def __call__(self) -> int:
        return self.ms

    def pass_s(self, seconds: float) -> None:
        """Let some time pass."""
        self.ms += int(seconds * 1000)


def record_history(films: Sequence[Film], *, seed: int, in_flight: bool) -> History:
    """Return the history of a video with as many hops as films, or one whose last hop is still in flight."""
    clock = _Clock()
    with TemporaryDirectory(prefix="ep-history-") as name:
        home = Path(name)
        write_accounts(home, 1, url="http://127.0.0.1:9")
        write_catalogue(home, [0], hops=len(films), accounts=1)
        settings = Settings(home=home, ledger_url="sqlite:///{home}/state/ledger.sqlite", min_free_bytes=0)
        with open_home(settings, now_ms=clock, works=False) as pipeline:
            pipeline.owner = "generate"
            _number_from(pipeline, FIRST_SEQ)
            declare_catalogue(pipeline)
            for hop, film in enumerate(films, start=1):
                record_progress(pipeline, plan(plan_input(pipeline)))
                began_ms = clock.ms
                attempt_id = _submit(pipeline, clock, hop)
                if not (in_flight and hop == len(films)):
                    _arrive(pipeline, clock, attempt_id, hop, film, seed)
                    clock.ms = began_ms + HOP_MS
            record_progress(pipeline, plan(plan_input(pipeline)))
            return _history(pipeline, clock.ms, seed)


def _number_from(pipeline: Pipeline, seq: int) -> None:
    with pipeline.ledger.alone() as (connection, _):
        connection.execute(update(tables.ledger_head).values(seq=seq))


def _submit(pipeline: Pipeline, clock: _Clock, hop: int) -> str:
    """Take the only due step to the state `submitted`; return its attempt."""
    (step,) = plan(plan_input(pipeline)).due
    request = claim_request(pipeline, step)
    lease_ms = int(pipeline.settings.lease_s * 1000)
    with pipeline.ledger.write(now_ms=clock.ms, actor=pipeline.owner) as tx:
        caps, until = pipeline.budget_limits(), clock.ms + lease_ms
        assert claim(tx, [request], caps=caps, owner=pipeline.owner, lease_until=until).claimed
    clock.pass_s(0.02)
    with pipeline.ledger.write(now_ms=clock.ms, actor=pipeline.owner) as tx:
        transitions.mark_sending(tx, request.attempt_id, owner=pipeline.owner, lease_until=clock.ms + lease_ms)
    clock.pass_s(0.4)
    due_at = schedule.first_poll(pipeline.accounts[request.account], clock.ms)
    task_id, _ = upstream_ids(0, hop)
    with pipeline.ledger.write(now_ms=clock.ms, actor=pipeline.owner) as tx:
        transitions.submitted(tx, request.attempt_id, task_id=task_id, found_by="post", due_at=due_at)
    return request.attempt_id


def _arrive(pipeline: Pipeline, clock: _Clock, attempt_id: str, hop: int, film: Film, seed: int) -> None:
    """Let the provider finish the task and its film come into the store."""
    task_id, video_id = upstream_ids(0, hop)
    clock.pass_s(60)
    url = f"https://files.bench.test/{video_id}.mp4"
    view = TaskView(
        task_id=task_id,
        state=TaskState.SUCCEEDED,
        status_word="succeed",
        outputs=(Output(url, video_id, None, film.duration_ms),),
        updated_ms=clock.ms - 1_000,
        units_micros=2_000_000,
    )
    with pipeline.ledger.write(now_ms=clock.ms, actor=pipeline.owner) as tx:
        data = success_data("kling", view, clock.ms)
        transitions.move(tx, attempt_id, to=AttemptState.SUCCEEDED, expect=POLLED, data=data)
        transitions.schedule(tx, attempt_id, account=account_name(0), due_at=clock.ms)
    clock.pass_s(2)
    file = file_of(seed, 0, hop)
    columns = {
        "sha256": file.sha256,
        "path": str(file),
        "bytes": film.bytes,
        "width": 320,
        "height": 180,
        "codec": "h264",
        "probed_duration_ms": film.duration_ms,
        "output_kind": OutputKind.FULL.value,
        "seam_psnr_centi_db": 4_120 + hop,
        "parent_is_prefix": True,
        "poster_path": str(MediaRef(file.sha256, POSTER)),
        "film_sha256": None,
        "film_path": None,
        "film_duration_ms": None,
        "film_note": None,
    }
    with pipeline.ledger.write(now_ms=clock.ms, actor=pipeline.owner) as tx:
        transitions.stored(tx, attempt_id, data=columns)
        transitions.unschedule(tx, attempt_id)


def _history(pipeline: Pipeline, ended_ms: int, seed: int) -> History:
    with pipeline.ledger.read() as connection:
        rows = {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in tables.metadata.sorted_tables
            if table.name not in NOT_RECORDED
        }
        attempts = connection.execute(select(tables.attempts).order_by(tables.attempts.c.hop)).all()
    (video,) = pipeline.configuration.catalogue.videos.values()
    (declaration,) = declarations(pipeline.configuration)
    params = tuple(json.loads(attempt.params) for attempt in attempts)
    day = day_of(FIRST_MS, UTC_ZONE)
    names = names_of(video, 0, declaration.definition_digest, day, params, seed=seed)
    assert [hop.attempt_id for hop in names.hops] == [attempt.attempt_id for attempt in attempts]
    return History(rows, names, video, params, len(rows["events"]), ended_ms - FIRST_MS)
