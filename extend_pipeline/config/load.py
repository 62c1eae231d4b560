"""Reads everything that the user writes, and either returns all of it checked or tells all that is wrong with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from extend_pipeline.base.days import NO_ZONE
from extend_pipeline.base.names import normal_name
from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.checks.videos import AccountBook, Use, build_catalogue
from extend_pipeline.config.fields.timezone import HomeFields
from extend_pipeline.config.files.entries import read_list, read_rows
from extend_pipeline.config.files.located import Node
from extend_pipeline.config.files.text import is_file, is_there, missing
from extend_pipeline.config.files.translate import Scope
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigError, ConfigIssue, did_you_mean, shorten_value
from extend_pipeline.config.last_good import last_good_path
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.account_defaults import DEFAULTS_FIELD, read_defaults, with_defaults
from extend_pipeline.config.model.catalogue import BranchSource, Catalogue, Video
from extend_pipeline.config.model.provider import ProviderConfig, Providers, by_name, owners
from extend_pipeline.config.settings import Settings
from extend_pipeline.config.warnings import notes_on

MAX_READS: Final = 5  # of files that are being written while they are read

# Values of these fields may be repeated in an error. Everywhere else in accounts.yaml somebody may have put a secret.
_TELLABLE = frozenset(
    {
        "allow_local",
        "auth",
        "batch_query",
        "budget",
        "ca",
        "download_http",
        "extend",
        "failed_tasks_charged",
        "in_doubt",
        "max_in_flight",
        "network",
        "on_change",
        "output",
        "passes",
        "path_prefix",
        "patience",
        "poll",
        "price",
        "provider",
        "submit_class",
        "timezone",
        "tolerance",
        "was",
    }
)


@dataclass(frozen=True)
class Configuration:
    """Settings, accounts and catalogue, checked against each other.

    `problems` are the mistakes of both files: while there is one, accounts and catalogue hold what is sound beside it,
    which is enough to look after what is paid for, and nothing may be submitted. `notes` are plain sentences about what
    is no mistake and still worth a word before money is spent. `written` holds the sound entries of accounts.yaml as
    they are written, `last_good` the entries that an earlier process kept (`kept`, as they are written). `timezone` is
    the home's, by its IANA name, or the one that was kept where accounts.yaml doesn't give it now.
    """

    settings: Settings
    accounts: Mapping[str, Account]
    catalogue: Catalogue
    notes: tuple[str, ...] = ()
    problems: tuple[ConfigIssue, ...] = ()
    written: Mapping[str, object] = field(default_factory=dict)
    last_good: Mapping[str, Account] = field(default_factory=dict)
    kept: Mapping[str, object] = field(default_factory=dict)
    timezone: str = NO_ZONE
    kept_timezone: str | None = None

    def account_of(self, video: Video | str) -> Account:
        """Return the account of a video or of its key. KeyError for an unknown key."""
        found = self.catalogue.videos[video] if isinstance(video, str) else video
        return self.accounts[found.account]


@dataclass(frozen=True)
class _Accounts:
    book: AccountBook
    scopes: Mapping[str, Scope]
    problems: list[ConfigIssue]
    timezone: str | None = None
    """None where the file doesn't give one that can be used."""


def load_configuration(settings: Settings, providers: Providers, *, now: datetime) -> Configuration:
    """Read both files. `now` is aware. Raises ConfigError with all problems of both at once."""
    configuration = read_configuration(settings, providers, now=now)
    if configuration.problems:
        raise ConfigError(configuration.problems)
    return configuration


def read_configuration(settings: Settings, providers: Providers, *, now: datetime) -> Configuration:
    """Read what is sound in both files, and all problems of the rest. `now` is aware.

    Where accounts.yaml has mistakes, the catalogue is checked against the last accounts that were good. A file that
    changes while it is read is read again, because an editor may be in the middle of saving it.
    """
    for _ in range(MAX_READS):
        marks = file_marks(settings.home)
        configuration = _read_once(settings, providers, now=now)
        if file_marks(settings.home) == marks:
            break
    return configuration


def file_marks(home: Path) -> tuple[object, ...]:
    """Return what tells that a file of the home was written again; costs four looks at the disk."""
    marks: list[object] = []
    for path in (home / ACCOUNTS_FILE, home / "catalog.yaml", home / "catalog.csv", last_good_path(home / "state")):
        try:
            found = path.stat()
        except OSError:
            marks.append(None)
        else:
            marks.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(marks)


def _read_once(settings: Settings, providers: Providers, *, now: datetime) -> Configuration:
    accounts = _read_accounts(settings.home / ACCOUNTS_FILE, providers)
    kept_path = last_good_path(settings.state_dir)
    nothing = AccountBook({}, {}, readable=True, providers=providers)
    kept = _read_accounts(kept_path, providers) if is_file(kept_path) else _Accounts(nothing, {}, [])
    book = accounts.book
    if accounts.problems:
        known = {**kept.book.accounts, **book.accounts}
        book = replace(book, accounts=known, claimed={**kept.book.claimed, **book.claimed})
    catalogue, uses, found = _read_catalogue(settings.home, book, now=now)
    problems = (*accounts.problems, *found, *_spending_problems(accounts, uses))
    if problems:
        catalogue = _sound_part(catalogue, book.accounts, problems)
    return Configuration(
        settings,
        accounts.book.accounts,
        catalogue,
        tuple(notes_on(catalogue, accounts.book.accounts)),
        ConfigError(problems).problems,
        _written(accounts),
        kept.book.accounts,
        _written(kept),
        accounts.timezone or kept.timezone or NO_ZONE,
        kept.timezone,
    )


def _written(accounts: _Accounts) -> dict[str, object]:
    return {name: accounts.scopes[name].node.value for name in accounts.book.accounts}


def _sound_part(catalogue: Catalogue, accounts: Mapping[str, Account], problems: Sequence[ConfigIssue]) -> Catalogue:
    wrong = {problem.subject for problem in problems if problem.file != ACCOUNTS_FILE}
    sound: dict[str, Video] = {}
    for key, video in catalogue.videos.items():
        above = video.source.branch_of if isinstance(video.source, BranchSource) else None
        if key not in wrong and video.account in accounts and (above is None or above in catalogue.videos):
            sound[key] = video
    return replace(catalogue, videos={k: v for k, v in sound.items() if _rooted(v, sound)})


def _rooted(video: Video, sound: Mapping[str, Video]) -> bool:
    source = video.source
    while isinstance(source, BranchSource):
        if source.branch_of not in sound:
            return False
        source = sound[source.branch_of].source
    return True


def home_timezone(settings: Settings) -> str:
    """Return the home's time zone by its IANA name, without a look at the accounts; UTC where nothing gives one."""
    path = settings.home / ACCOUNTS_FILE
    if is_there(path) and (zone := _timezone_in(path)) is not None:
        return zone
    kept = last_good_path(settings.state_dir)
    return (_timezone_in(kept) if is_file(kept) else None) or NO_ZONE


def _timezone_in(path: Path) -> str | None:
    _, _, tree = _account_nodes(path)
    fields = None if tree is None else _home_scope(tree).read(HomeFields)[0]
    return None if fields is None else fields.timezone


def _account_nodes(path: Path) -> tuple[list[Node], list[ConfigIssue], Node | None]:
    return read_list(path, "accounts", beside=(*HomeFields.model_fields, DEFAULTS_FIELD))


def _home_scope(tree: Node) -> Scope:
    return Scope(ACCOUNTS_FILE, tree, None, _tellable)


def load_accounts(settings: Settings, providers: Providers) -> dict[str, Account]:
    """Return the accounts by name, in the order of the file. Raises ConfigError with all problems of accounts.yaml."""
    accounts = _read_accounts(settings.home / ACCOUNTS_FILE, providers)
    if accounts.problems:
        raise ConfigError(accounts.problems)
    return dict(accounts.book.accounts)


def load_catalogue(
    settings: Settings, providers: Providers, accounts: Mapping[str, Account], *, now: datetime
) -> Catalogue:
    """Return the catalogue, checked against accounts that are loaded already. Raises ConfigError with all problems of
    it.

    Whether an account may spend and has a price for each mode is left to `load_configuration`.
    """
    claimed = {name: account.provider for name, account in accounts.items()}
    book = AccountBook(accounts, claimed, readable=True, providers=providers)
    catalogue, _, problems = _read_catalogue(settings.home, book, now=now)
    if problems:
        raise ConfigError(problems)
    return catalogue


def _read_catalogue(home: Path, book: AccountBook, *, now: datetime) -> tuple[Catalogue, list[Use], list[ConfigIssue]]:
    rows, problems, path, defaults = read_rows(home, book.providers)
    catalogue, uses, found = build_catalogue(rows, book, path=path, now=now)
    return replace(catalogue, on_change=defaults.on_change), uses, problems + found


def _read_accounts(path: Path, providers: Providers) -> _Accounts:
    if not is_there(path):
        problem = missing(path, what="list of accounts", misnamed=("accounts.yml", "account.yaml"))
        return _Accounts(AccountBook({}, {}, readable=False, providers=providers), {}, [problem])
    nodes, problems, tree = _account_nodes(path)
    defaults, wrong_defaults = read_defaults(None if tree is None else tree.child(DEFAULTS_FIELD))
    problems += wrong_defaults
    accounts: dict[str, Account] = {}
    claimed: dict[str, str] = {}
    scopes: dict[str, Scope] = {}
    unreadable = bool(problems) and not nodes
    fields = None
    if tree is not None:
        fields, found = _home_scope(tree).read(HomeFields)
        problems += found
    for node in nodes:
        scope, provider = _scope(with_defaults(node, defaults)), node.child("provider")
        if scope.subject is not None:
            if scope.subject in scopes:
                first = scopes[scope.subject].node.line
                told = FieldIssue(("name",), f"is the name of the account in line {first} too", "Give each its own.")
                problems.append(scope.problem(told))
                continue
            scopes[scope.subject] = scope
            claimed[scope.subject] = (provider.text if provider is not None else None) or ""
        account, found = _account(scope, providers)
        problems += found
        if account is not None and not wrong_defaults:  # else it would go out without what holds for all
            accounts[account.name] = account
    problems += _renamed(accounts, scopes)
    timezone = None if fields is None else fields.timezone
    book = AccountBook(accounts, claimed, readable=not unreadable, providers=providers)
    return _Accounts(book, scopes, problems, timezone)


def _renamed(accounts: Mapping[str, Account], scopes: Mapping[str, Scope]) -> Iterator[ConfigIssue]:
    """Yield what can't hold of names that accounts had before: a name is one account's, now or before."""
    before: dict[str, str] = {}
    for name, account in accounts.items():
        if account.was is None:
            continue
        message = ""
        if account.was in scopes:
            message = "is the name of an account of this file still"
        elif before.setdefault(account.was, name) != name:
            message = f"is what account {before[account.was]} says that it was, too"
        if message:
            hint = "Write was: in the one account that goes on under a new name."
            yield scopes[name].problem(FieldIssue(("was",), message, hint))


def _scope(node: Node) -> Scope:
    name = node.child("name")
    subject = None if name is None or name.text is None else normal_name(name.text)
    return Scope(ACCOUNTS_FILE, node, subject, _tellable)


def _tellable(field: str, given: str) -> bool:
    top = field.partition(".")[0]
    address = top in ("base_url", "download_hosts", "public_media_url")
    return top in _TELLABLE or (address and not set("@?#") & set(given))


def _account(scope: Scope, providers: Providers) -> tuple[Account | None, list[ConfigIssue]]:
    node = scope.node.child("provider")
    if not scope.node.is_mapping:
        return None, [scope.problem(FieldIssue((), "an account is a set of fields", "Write - name: kling-main"))]
    if node is None or node.value is None:
        example = f"Write provider: {providers[0].name}"
        return None, [scope.problem(FieldIssue(("provider",), "is missing", example))]
    provider = by_name(providers).get(node.text or "")
    if provider is None:
        return None, [scope.problem(_unsupported(node.text or "", [known.name for known in providers]))]
    account, problems = scope.read(provider.account, owners=owners(providers, "account"))
    if account is not None and not isinstance(account.price.per_extension_micros, int):
        unknown = account.price.per_extension_micros.keys() - set(provider.price_keys)
        problems += [scope.problem(_no_such_price(provider, key)) for key in sorted(unknown)]
    return account, problems


def _no_such_price(provider: ProviderConfig, key: str) -> FieldIssue:
    loc = ("price", "per_extension", key)
    if provider.modes:
        hint = f"Its modes are: {', '.join(provider.modes)}."
        return FieldIssue(loc, f"{provider.name} has no mode {key}", hint, about_value=False)
    if not provider.price_keys:
        hint = "Write one number: the units of one extension."
        return FieldIssue(loc, f"{provider.name} has one price for all extensions", hint, about_value=False)
    hint = did_you_mean(key, provider.price_keys, label="") if "/" in key else ""
    if not hint.startswith("Did"):
        hint = f"Write it like {max(provider.price_keys, key=len)}."
    return FieldIssue(loc, f"{provider.name} has nothing to price by that name", hint, about_value=False)


def _unsupported(name: str, known: Sequence[str]) -> FieldIssue:
    supported = f"Supported: {', '.join(known)}."
    if (near := did_you_mean(name, known, label="")).startswith("Did"):
        supported = f"{near} {supported}"
    return FieldIssue(
        ("provider",), f"provider {shorten_value(name)} is not supported by this version", supported, about_value=False
    )


def _spending_problems(accounts: _Accounts, uses: Sequence[Use]) -> Iterator[ConfigIssue]:
    """Yield no budget, no spending; no price, no submit: told once for each account that a video uses."""
    users: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        users[use.account].append(use)
    for name, those in users.items():
        account = accounts.book.accounts.get(name)
        if account is None:
            continue
        scope = accounts.scopes[name]
        if account.budget is None:
            yield scope.problem(
                FieldIssue(
                    ("budget",),
                    f"is missing, and {_some(those)} it: no budget, no spending",
                    "Write budget: {per_day: 100, total: 2000}, in units.",
                )
            )
        provider = by_name(accounts.book.providers)[account.provider]
        by_price: dict[str, list[Use]] = defaultdict(list)
        for use in those:
            key = provider.price_key(use.mode, use.params or {})
            if key is not None:
                by_price[key].append(use)
        for key, needing in by_price.items():
            if account.price.quote(key) is None:
                what = key if needing[0].mode is None else f"mode {key}"
                yield scope.problem(
                    FieldIssue(
                        ("price", "per_extension"),
                        f"has no price for {what}, and {_some(needing)} it",
                        f"Add {key}: and the units of one extension.",
                    )
                )


def _some(uses: Sequence[Use]) -> str:
    first = uses[0].key
    return f"video {first} needs" if len(uses) == 1 else f"{len(uses)} videos ({first}, …) need"
