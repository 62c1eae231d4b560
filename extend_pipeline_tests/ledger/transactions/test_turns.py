"""Fair turns: processes that write without a pause all come forward, and a queue that does not move holds no process
up."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.database import Ledger, open_ledger
from extend_pipeline.ledger.transactions.turns import Turns
from extend_pipeline.ledger.write import controls
from extend_pipeline_tests.support.ledger.steps import NOON
from extend_pipeline_tests.support.processes.children import CONTEXT

PROCESSES: Final = 4
WRITES: Final = 60  # of each process, one after the other; so many that the first ones count little


def _write_on_and_on(url: str, name: str, start: Any) -> None:
    ledger = open_ledger(url)
    try:
        start.wait(60)
        for _ in range(WRITES):
            with ledger.write(now_ms=NOON, actor=name) as tx:
                controls.pause(tx, why="a write")
    finally:
        ledger.close()


def test_no_process_waits_while_another_takes_every_turn(ledger_url: str, ledger: Ledger) -> None:
    start = CONTEXT.Barrier(PROCESSES)
    names = [f"p{number}" for number in range(PROCESSES)]
    children = [CONTEXT.Process(target=_write_on_and_on, args=(ledger_url, name, start), daemon=True) for name in names]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
        assert child.exitcode == 0
    with ledger.read() as connection:
        actors = list(connection.execute(select(tables.events.c.actor).order_by(tables.events.c.seq)).scalars())
    written: Counter[str] = Counter()
    for actor in actors:
        written[actor] += 1
        if written[actor] == WRITES:
            break
    assert min(written[name] for name in names) >= WRITES // 2


def _hold_a_turn(file: Path, held: Any, ended: Any) -> None:
    with Turns(file).turn():
        held.set()
        ended.wait(60)


def test_a_turn_that_does_not_end_holds_no_writer_up_for_good(tmp_path: Path) -> None:
    file = tmp_path / "ledger.sqlite"
    held, ended = CONTEXT.Event(), CONTEXT.Event()
    stopped = CONTEXT.Process(target=_hold_a_turn, args=(file, held, ended), daemon=True)
    stopped.start()
    assert held.wait(60)
    turns = Turns(file, patience_s=0.05)
    for _ in range(3):
        with turns.turn():
            assert stopped.is_alive()
    ended.set()
    stopped.join(60)
    assert stopped.exitcode == 0


def test_a_folder_that_takes_no_file_is_written_without_turns(tmp_path: Path) -> None:
    with Turns(tmp_path / "missing" / "ledger.sqlite").turn():
        assert not (tmp_path / "missing").exists()
