"""The effect on the state tables of renamed videos and accounts, and of decisions about edited steps."""

from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, and_, delete, func, insert, select, update

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.projection.event import Event
from extend_pipeline.ledger.projection.rows import change_account
from extend_pipeline.ledger.projection.state_rows import StateRows, upsert


def _video_renamed(rows: StateRows, event: Event) -> None:
    """Change all rows of a video to its new key. A row of the new key without attempts is removed."""
    rows.forget()  # the statements below change attempts
    connection = rows.connection
    old, new = event.data["was"], event.video_key
    videos = tables.videos.c
    connection.execute(delete(tables.videos).where(videos.video_key == new))
    first = func.coalesce(videos.first_key, old)
    own = update(tables.videos).where(videos.video_key == old)
    connection.execute(own.values(video_key=new, first_key=first, seq=event.seq))
    below = update(tables.videos).where(videos.branch_of == old)
    connection.execute(below.values(branch_of=new, seq=event.seq))
    files = tables.missing_files
    source = (files.c.owner == old) & (files.c.role == "source")
    connection.execute(delete(files).where((files.c.owner == new) & (files.c.role == "source")))
    connection.execute(update(files).where(source).values(owner=new))
    for table in (tables.attempts, tables.charges, tables.step_choices, files):
        connection.execute(update(table).where(table.c.video_key == old).values(video_key=new, seq=event.seq))


def _account_renamed(rows: StateRows, event: Event) -> None:
    """Change all rows of an account to its new name and add up the totals of both names. A pause or a stop of either
    stays."""
    rows.forget()  # the statements below change attempts
    connection = rows.connection
    old, new = str(event.data["was"]), str(event.account)
    accounts = tables.accounts
    both = select(accounts).where(accounts.c.account.in_([old, new]))
    by_name = {row.account: row for row in connection.execute(both)}
    old_row, new_row = by_name[old], by_name.get(new)
    connection.execute(delete(accounts).where(accounts.c.account.in_([old, new])))
    merged = {**old_row._mapping, "account": new, "first_name": old_row.first_name or old, "seq": event.seq}
    if new_row is not None:
        merged["committed_micros"] += new_row.committed_micros
        merged["in_flight"] += new_row.in_flight
        merged["silent_submits"] = max(old_row.silent_submits, new_row.silent_submits)
        merged["paused"] = old_row.paused or new_row.paused
        if old_row.stopped_reason is None:
            merged |= {name: new_row._mapping[name] for name in ("stopped_reason", "stopped_message", "stopped_at")}
    connection.execute(insert(accounts).values(**merged))
    _merge_days(connection, old, new)
    for table in (tables.reconciliations, tables.statements, tables.lower_charges):
        newer = table.alias()
        own = [column.name for column in table.primary_key.columns if column.name != "account"]
        same = and_(newer.c.account == new, *(newer.c[name] == table.c[name] for name in own))
        connection.execute(delete(table).where(table.c.account == old, select(newer.c.seq).where(same).exists()))
        connection.execute(update(table).where(table.c.account == old).values(account=new, seq=event.seq))
    for renamed in (tables.videos, tables.attempts, tables.charges, tables.missing_files):
        connection.execute(update(renamed).where(renamed.c.account == old).values(account=new, seq=event.seq))


def _account_named(rows: StateRows, event: Event) -> None:
    change_account(rows, event, first_name=event.data["first_name"])


def _merge_days(connection: Connection, old: str, new: str) -> None:
    table = tables.account_days
    both = select(table.c.day, func.sum(table.c.committed_micros).label("micros"))
    days = list(connection.execute(both.where(table.c.account.in_([old, new])).group_by(table.c.day)))
    connection.execute(delete(table).where(table.c.account.in_([old, new])))
    if days:
        rows = [{"account": new, "day": row.day, "committed_micros": int(row.micros)} for row in days]
        connection.execute(insert(table), rows)


def _step_chosen(rows: StateRows, event: Event) -> None:
    table = tables.step_choices
    values = {
        "video_key": event.video_key,
        "chain_digest": event.data["chain_digest"],
        "stands_for": event.data["stands_for"],
        "hop": event.data["hop"],
        "decided_by": event.actor,
        "seq": event.seq,
    }
    rows.connection.execute(upsert(table, frozenset(values)), values)


NAME_PROJECTIONS: Final[dict[str, Callable[[StateRows, Event], None]]] = {
    "video_renamed": _video_renamed,
    "account_renamed": _account_renamed,
    "account_named": _account_named,
    "step_chosen": _step_chosen,
}
