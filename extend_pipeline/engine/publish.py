"""Publish the warehouse when the ledger has changed."""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extend_pipeline.engine.home import Pipeline
from extend_pipeline.warehouse.errors import PublishError
from extend_pipeline.warehouse.publish import AlreadyFresh, Busy, Cost, Published, last_cost, publish

BUSY_GAP_S: Final = 0.2
BUSY_S: Final = 60.0  # a whole publish of a million attempts takes about a minute

_log = logging.getLogger(__name__)

PAUSE: Final = 10  # times what a publish takes, so that publishing while work goes on takes a tenth of the time at most


@dataclass(frozen=True, slots=True)
class NotDue:
    """The last publish was too costly to publish again already; the next one is due at `until_ms` (UTC)."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class NotPublished:
    """A publish has failed while work went on. The last one of the work tries again, and raises its error."""


def publish_if_changed(pipeline: Pipeline) -> Published | AlreadyFresh | Busy:
    """Publish unless another process is publishing (Busy). The cost depends on what changed since the last publish."""
    target = pipeline.settings.warehouse_path
    return publish(pipeline.ledger, target=target, work=_work(pipeline), now_ms=pipeline.now_ms())


def next_publish_ms(cost: Cost) -> int:
    """Return when the next publish is due while work goes on (UTC ms)."""
    return cost.began_ms + (1 + PAUSE) * cost.took_ms


def publish_if_due(pipeline: Pipeline) -> Published | AlreadyFresh | Busy | NotDue | NotPublished:
    """Publish while work goes on, in any process of the home: the dearer the last publish, the longer the pause. One
    that fails is logged alone, because paid work must not wait for a table."""
    cost = last_cost(_work(pipeline))
    if cost is not None and cost.began_ms <= pipeline.now_ms() < next_publish_ms(cost):  # a clock may be set back
        return NotDue(next_publish_ms(cost))
    try:
        return publish_if_changed(pipeline)
    except PublishError as error:
        _log.warning("%s", pipeline.settings.with_home(str(error)))
        return NotPublished()


def publish_last(pipeline: Pipeline) -> Published | AlreadyFresh | Busy:
    """Publish at the end of a piece of work.

    Waits for another publishing process, because it may have read the ledger before our last change. Returns Busy only
    when that process takes longer than 60 s.
    """
    deadline = time.monotonic() + BUSY_S
    outcome = publish_if_changed(pipeline)
    while isinstance(outcome, Busy) and time.monotonic() < deadline:
        threading.Event().wait(BUSY_GAP_S)
        outcome = publish_if_changed(pipeline)
    return outcome


def _work(pipeline: Pipeline) -> Path:
    return pipeline.settings.warehouse_path.with_name("warehouse.work.duckdb")
