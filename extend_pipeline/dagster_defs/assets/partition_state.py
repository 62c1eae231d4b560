"""The state of a partition in the ledger, and the data versions that show its changes. Nothing here uses Dagster."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Connection, cast, func, select

from extend_pipeline.config.digest import digest
from extend_pipeline.dagster_defs.assets.request_end import RequestEnd, Spent
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.inputs import chain_names
from extend_pipeline.ledger import tables
from extend_pipeline.ledger.read import queries
from extend_pipeline.ledger.read.attempt_row import AttemptRow
from extend_pipeline.ledger.read.rows import VideoRow
from extend_pipeline.ledger.spending_rules import BlockReason
from extend_pipeline.ledger.states import AttemptState, VideoState

_SPENT: Final = ("settle", "adjust")
_OPEN: Final = (VideoState.NEW.value, VideoState.WORKING.value, VideoState.WAITING.value)


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """One video: its row, all its attempts in the order hop, generation, try, those that its film consists of (hop 1
    first), and the spending of each attempt that had any, by its id: `micros` and `amount_micros` in millionths."""

    row: VideoRow
    attempts: Sequence[AttemptRow]
    stored: Sequence[AttemptRow]
    spent: Mapping[str, Spent]

    @property
    def source_version(self) -> str:
        """Return a version that changes with the entry, and when the video starts or stops needing an operator. It does
        not change while the video waits for a slot or for its turn, because that is not worth an event."""
        state = "open" if self.row.state in _OPEN else f"{self.row.state} {self.row.state_reason}"
        return digest({"definition": self.row.definition_digest, "state": state})[:16]

    @property
    def request_version(self) -> str:
        """Return a version that changes when a hop is submitted, when it ends, and when what is charged for it
        changes."""
        return digest({a.attempt_id: self.end_of(a).version for a in self.attempts})[:16]

    @property
    def completed_version(self) -> str:
        """Return a version that changes when a hop of the film is stored."""
        return digest([[a.attempt_id, a.sha256] for a in self.stored])[:16]

    @property
    def newest(self) -> AttemptRow:
        """Return the attempt that was claimed last. Raises ValueError without any."""
        return max(self.attempts, key=in_order)

    def end_of(self, attempt: AttemptRow) -> RequestEnd:
        """Return how an attempt ended, or where it is."""
        spent = self.spent.get(attempt.attempt_id)
        return RequestEnd(attempt, spent.micros if spent else 0, spent.amount_micros if spent else 0)


def in_order(attempt: AttemptRow) -> tuple[int, int, int, int]:
    """Return the key by which attempts of a video are sorted, oldest claim first."""
    return attempt.claimed_at, attempt.hop, attempt.generation, attempt.try_no


def read_facts(pipeline: Pipeline, keys: Collection[str]) -> dict[str, VideoFacts]:
    """Return the facts of the named videos, in their order; unknown videos are left out."""
    with pipeline.ledger.read() as connection:
        rows = {row.video_key: row for row in queries.videos(connection, keys=keys)}
        attempts: dict[str, list[AttemptRow]] = {key: [] for key in rows}
        for attempt in queries.attempts_of(connection, rows):
            attempts[attempt.video_key].append(attempt)
        spent = _spent(connection, list(rows))
        names = chain_names(pipeline, connection, rows)
    return {
        key: VideoFacts(rows[key], attempts[key], _film(pipeline, rows[key], attempts[key], names), spent.get(key, {}))
        for key in dict.fromkeys(keys)
        if key in rows
    }


def _film(pipeline: Pipeline, row: VideoRow, attempts: Sequence[AttemptRow], names: chain.Names) -> list[AttemptRow]:
    """Return the stored hops of the entry in its present form; for a video that left the catalogue, or waits for a
    decision about an edit, the newest of each hop."""
    stored = [a for a in attempts if a.state is AttemptState.STORED]
    catalogue = pipeline.configuration.catalogue.videos
    video = catalogue.get(row.video_key)
    if video is None or row.state_reason == BlockReason.REPURCHASE.value:
        return list({a.hop: a for a in sorted(stored, key=lambda a: (a.hop, a.stored_at))}.values())
    highest = max((a.hop for a in stored), default=0)
    steps = chain.digests(video, highest, videos=catalogue, names=names)
    return [a for a in stored if a.chain_digest == steps[a.hop]]


def _spent(connection: Connection, keys: Sequence[str]) -> dict[str, dict[str, Spent]]:
    """Return the spending of each attempt of the videos, by video and attempt."""
    c = tables.charges.c
    # PostgreSQL's sum of integers is a decimal
    sums = [cast(func.sum(column), BigInteger) for column in (c.micros, c.amount_micros)]
    query = select(c.video_key, c.attempt_id, *sums).where(c.entry.in_(_SPENT))
    spent: dict[str, dict[str, Spent]] = {}
    for part in queries.chunks(keys):
        in_part = query.where(c.video_key.in_(part)).group_by(c.video_key, c.attempt_id)
        for key, attempt_id, micros, amount_micros in connection.execute(in_part):
            spent.setdefault(key, {})[attempt_id] = Spent(micros, amount_micros)
    return spent
