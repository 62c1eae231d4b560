"""An open home: configuration, ledger, media store, providers and clock. Functions that act take it as a parameter;
there is no global state."""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from extend_pipeline.base.units import from_ms
from extend_pipeline.config.issues import ConfigError
from extend_pipeline.config.load import Configuration, file_marks, read_configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.active_accounts import keep_accounts, with_accounts_in_use
from extend_pipeline.engine.guards.disk_space import DiskError, DiskSpace, read_space, write_error
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.state_in_use import state_in_use
from extend_pipeline.engine.plan.budget import budget_limits
from extend_pipeline.engine.polling.lease import renew_all
from extend_pipeline.engine.polling.renewer import Renewer
from extend_pipeline.engine.polling.schedule import fetch_lease_ms
from extend_pipeline.ledger.database import Ledger, find_ledger, has_ledger, open_ledger
from extend_pipeline.ledger.spending_rules import BudgetLimits
from extend_pipeline.media.store import MediaStore
from extend_pipeline.media.stores import open_store
from extend_pipeline.providers.protocol import Provider
from extend_pipeline.providers.registry import PROVIDERS, build_provider
from extend_pipeline.providers.wire.credentials import key_fault

TRY_WRITE_MS: Final = 10_000  # because a try is some system calls, an fsync among them, and a wave follows the other


def wall_ms() -> int:
    """Return the current time (UTC ms)."""
    return time.time_ns() // 1_000_000


def fresh_token() -> str:
    """Return 256 random bits as text for URLs and files: the path of an attempt's callbacks, the id of a store."""
    return secrets.token_urlsafe(32)


def process_name() -> str:
    """Return the name of this process in leases: host, process id and start time, because a process id may be
    reused."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def owner_is_gone(owner: str) -> bool:
    """Return whether the owner of a lease is a process of this host that has ended; False when that is unknown.

    Only makes recovery faster. Even a wrong True could cost no money, because a claim whose lease was taken is not
    sent, and a send that is put in doubt is looked up, not repeated.
    """
    host, _, rest = owner.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit() or not started:
        return False
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "" if Path("/proc/self/stat").exists() else "unknown"
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]  # field 22 of proc(5): start time in clock ticks since boot


class MakeProvider(Protocol):
    """Factory of the provider client of an account."""

    def __call__(self, account: Account, *, settings: Settings) -> Provider:
        """Build the client; nothing is sent yet."""
        ...


@dataclass
class Pipeline:
    """A home that is open for work. `now_ms` (UTC ms) is the only clock that the engine reads."""

    configuration: Configuration
    ledger: Ledger
    store: MediaStore
    now_ms: Callable[[], int] = wall_ms
    make_provider: MakeProvider = build_provider
    owner: str = field(default_factory=process_name)
    new_token: Callable[[], str] = fresh_token
    _providers: dict[str, Provider] = field(default_factory=dict)
    _retired: list[Provider] = field(default_factory=list)
    """Clients of accounts that have changed since; requests of theirs may be under way."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    claiming: threading.Lock = field(default_factory=threading.Lock)
    """Held while a thread reads the limits and the space on the disk and claims, and while the configuration changes,
    so that no account leaves it between its limits and its claims."""
    renewer: Renewer = field(init=False)
    """Renews the leases of the results that this process fetches."""
    marks: tuple[object, ...] = ()
    works: bool = True
    """Whether this process polls and submits; a process that only reads needs no keys."""

    stops_asked: dict[str, int] = field(default_factory=dict)
    """When a query was last sent only to see whether an account's stop is over, by account (UTC ms)."""

    had_valid_files: bool = False
    """Whether the files had no mistake at some time since the home was opened."""
    asked_for_room: bool = False
    """Whether downloads that wait for disk space have been tried again since the home was opened. The first round
    tries them without a wait, because the operator may have freed space before running `advance`."""
    store_doubt: str = ""
    """Why the media store seemed not to be the ledger's when it was last looked at, at `store_doubted_ms`."""
    store_doubted_ms: int = 0
    write_error: DiskError | None = None
    """Why no film could be written when that was last tried, at `write_tried_ms`."""
    write_tried_ms: int | None = None

    def __post_init__(self) -> None:
        self.marks = self.marks or file_marks(self.settings.home)
        self.had_valid_files = not self.configuration.problems
        lease_s = fetch_lease_ms(self.settings) / 1000
        self.renewer = Renewer(lease_s=lease_s, renew=partial(renew_all, self))

    @property
    def settings(self) -> Settings:
        """Return the settings of this home."""
        return self.configuration.settings

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the accounts by name."""
        return self.configuration.accounts

    def now(self) -> datetime:
        """Return the current time as an aware UTC datetime."""
        return from_ms(self.now_ms())

    def provider(self, account: str) -> Provider:
        """Return the provider client of an account; built at first use and shared by all threads."""
        with self._lock:
            if account not in self._providers:
                self._providers[account] = self.make_provider(self.accounts[account], settings=self.settings)
            return self._providers[account]

    def budget_limits(self) -> dict[str, BudgetLimits]:
        """Return the budget limits of each account that may be claimed for.

        Missing are accounts without a budget, accounts whose key this process lacks, and all accounts while the
        catalogue or the accounts have a mistake.
        """
        if self.configuration.problems:
            return {}
        lacking = self.without_key()
        return {
            name: budget_limits(account, self.configuration.timezone)
            for name, account in self.accounts.items()
            if account.budget is not None and name not in lacking
        }

    def without_key(self) -> dict[str, str]:
        """Return what is wrong with the environment variable of each account whose key this process lacks.

        Such accounts are skipped and reported, because another process may have the key. Empty for a process that only
        reads.
        """
        faults = {name: key_fault(account) for name, account in self.accounts.items()} if self.works else {}
        return {name: fault for name, fault in faults.items() if fault}

    def disk_space(self, *, awaited: int) -> DiskSpace:
        """Return the space for the results to come; whether films can be written is tried once in TRY_WRITE_MS."""
        now_ms = self.now_ms()
        if self.write_tried_ms is None or not 0 <= now_ms - self.write_tried_ms < TRY_WRITE_MS:
            self.write_error, self.write_tried_ms = write_error(self.store), now_ms
        return read_space(self.settings, self.store, awaited=awaited, error=self.write_error)

    def refresh(self) -> None:
        """Read the catalogue and the accounts again if their files have changed, or images that they name, so that a
        long run uses the current ones.

        Entries without a mistake are used even when others have one. While there are mistakes the files are read every
        time, because restoring a lost read permission changes no file.
        """
        marks = file_marks(self.settings.home)
        known = self.configuration
        if marks == self.marks and not known.problems and not known.catalogue.changed_images():
            return
        before = self.accounts
        read = read_configuration(self.settings, PROVIDERS, now=self.now(), keep=self.works)
        with self.claiming:
            self.configuration = opened_configuration(read, self.ledger, keep=True)
        self.marks = marks
        self.had_valid_files = self.had_valid_files or not self.configuration.problems
        if self.accounts == before:
            return
        with self._lock:
            # a request may be under way, and one that is cut off could be paid for
            self._retired += self._providers.values()
            self._providers.clear()

    def close(self) -> None:
        """Close the connections to providers and to the ledger."""
        self.renewer.close()
        for provider in (*self._providers.values(), *self._retired):
            provider.close()
        self._providers.clear()
        self._retired.clear()
        self.ledger.close()


def opened_configuration(configuration: Configuration, ledger: Ledger, *, keep: bool) -> Configuration:
    """Return the configuration completed with the accounts that paid work needs. With `keep`, also save the accounts
    that are valid now, for a time when they are not."""
    complete, in_use = with_accounts_in_use(configuration, ledger)
    if keep:
        known = look(configuration.settings, ledger).may_spend  # another ledger doesn't show which accounts are in use
        keep_accounts(complete, in_use if known else frozenset(configuration.last_good_entries))
    return complete


def read_files(settings: Settings, *, now: datetime, keep: bool) -> Configuration:
    """Return the configuration of a home; with `keep`, its catalogue is remembered in the state folder, if there is
    one. Raises StateInUseError while that folder is being removed."""
    if not keep or not settings.state_dir.is_dir():
        return read_configuration(settings, PROVIDERS, now=now)
    with state_in_use(settings.state_dir):
        return read_configuration(settings, PROVIDERS, now=now, keep=True)


@contextmanager
def open_home(
    settings: Settings,
    *,
    configuration: Configuration | None = None,
    marks: tuple[object, ...] = (),
    now_ms: Callable[[], int] = wall_ms,
    make_provider: MakeProvider = build_provider,
    works: bool = True,
) -> Iterator[Pipeline]:
    """Open a home: read its configuration, then open its ledger and store. Every program opens a home by this.

    `configuration` and `marks` come from a caller that has read the files already. Without `works` the program
    neither submits nor polls, and a home without a ledger gets an empty temporary one. A home with a ledger opens in
    spite of mistakes in the configuration, because paid tasks must be polled and fetched; nothing is submitted. Raises
    ConfigError for mistakes in a home without a ledger, before anything is written; LedgerError; StateInUseError while
    the state is being removed.
    """
    if configuration is None:
        marks = file_marks(settings.home)
        configuration = read_files(settings, now=from_ms(now_ms()), keep=works)
    with ExitStack() as stack:
        if works:
            if configuration.problems and not has_ledger(settings.ledger_url):
                raise ConfigError(configuration.problems)
            stack.enter_context(state_in_use(settings.state_dir))
            ledger: Ledger | None = open_ledger(settings.ledger_url)
        else:
            ledger = find_ledger(settings.ledger_url)
        if ledger is None:
            if configuration.problems:
                raise ConfigError(configuration.problems)
            folder = stack.enter_context(TemporaryDirectory(prefix="extend-pipeline-"))
            ledger = open_ledger(f"sqlite:///{folder}/ledger.sqlite")
        stack.enter_context(closing(ledger))
        pipeline = Pipeline(
            opened_configuration(configuration, ledger, keep=works),
            ledger,
            open_store(settings),
            now_ms=now_ms,
            make_provider=make_provider,
            marks=marks,
            works=works,
        )
        yield stack.enter_context(closing(pipeline))
