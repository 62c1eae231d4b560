"""Whether an account's provider replies: silent submits by events, because they decide about spending, and the rest as
hints, whose loss costs one query."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Final

from sqlalchemy import bindparam, literal, select

from extend_pipeline.ledger import tables
from extend_pipeline.ledger.clock import is_ahead, still_waits
from extend_pipeline.ledger.events import LedgerTransaction
from extend_pipeline.ledger.read.rows import ContactRow

NOTED_MS: Final = 10_000  # replies within this time count as one, so that a busy account costs no write for each


@dataclass(frozen=True, slots=True)
class _Known:
    row: ContactRow
    silent_submits: int


def silent_submits(tx: LedgerTransaction, account: str, count: int) -> None:
    """Record that of so many submits more no reply is known."""
    if count:
        data = {"silent_submits": _known(tx, account).silent_submits + count}
        tx.append("account_silent", account=account, data=data)


def replied(tx: LedgerTransaction, account: str) -> None:
    """Record that the provider replied; submits that were silent before block nothing more."""
    known = _known(tx, account)
    if known.silent_submits:
        tx.append("account_replied", account=account)
    at = known.row.replied_at
    if at is None or known.row.silences or at + NOTED_MS <= tx.now_ms or is_ahead(at, tx.now_ms):
        _put(tx, ContactRow(account, tx.now_ms, 0, 0))


def silent_query(tx: LedgerTransaction, account: str, *, gap_ms: Callable[[int], int], longest_ms: int) -> None:
    """Record that a query had no reply: the account is asked nothing for `gap_ms` of its silences in a row. Several
    silences of one burst are one."""
    row = _known(tx, account).row
    if not still_waits(row.ask_at, tx.now_ms, longest_ms=longest_ms):
        silences = row.silences + 1
        _put(tx, replace(row, silences=silences, ask_at=tx.now_ms + gap_ms(silences)))


def take_turn(tx: LedgerTransaction, account: str, *, for_ms: int, longest_ms: int) -> bool:
    """Take the question to an account that doesn't reply, for `for_ms`. Return False if it isn't its time yet, or
    another worker asks."""
    row = _known(tx, account).row
    if still_waits(row.ask_at, tx.now_ms, longest_ms=longest_ms):
        return False
    _put(tx, replace(row, ask_at=tx.now_ms + for_ms))
    return True


def end_turn(tx: LedgerTransaction, account: str) -> None:
    """Give the question back, so that its result can be recorded."""
    tx.rows.change(tables.contacts, account, {"ask_at": 0})


_OF_ACCOUNT: Final = tables.contacts.c.account == tables.accounts.c.account
_KNOWN: Final = (
    select(tables.accounts.c.silent_submits, tables.contacts)
    .outerjoin(tables.contacts, _OF_ACCOUNT)
    .where(tables.accounts.c.account == bindparam("account"))
)
_CONTACT: Final = select(literal(0), tables.contacts).where(tables.contacts.c.account == bindparam("account"))


def _known(tx: LedgerTransaction, account: str) -> _Known:
    connection, values = tx.connection, {"account": account}
    row = connection.execute(_KNOWN, values).first()
    if row is None:  # the account has claimed nothing
        row = connection.execute(_CONTACT, values).first()
    silent_submits, *contact = row or (0, None)
    return _Known(ContactRow(account, None, 0, 0) if contact[0] is None else ContactRow(*contact), int(silent_submits))


def _put(tx: LedgerTransaction, row: ContactRow) -> None:
    tx.rows.put(tables.contacts, asdict(row))
