"""Read all files of a home, and return them checked or raise every issue at once."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.base.disk import file_mark
from extend_pipeline.config.files.accounts import AccountList, read_accounts
from extend_pipeline.config.files.catalogue import catalogue_files
from extend_pipeline.config.files.text import is_file
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigError, ConfigIssue
from extend_pipeline.config.last_good import last_good_path
from extend_pipeline.config.memo.recall import Recalled, recall, remember
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.alerts import Alerts
from extend_pipeline.config.model.catalogue import Catalogue, Video, root_source
from extend_pipeline.config.model.provider import Providers
from extend_pipeline.config.settings import Settings
from extend_pipeline.config.warnings import warnings_on
from extend_pipeline.config.whole import read_whole

MAX_READS: Final = 5  # of files that change while they are read
_PAUSE_S: Final = 0.1  # before such files are read again: most programs have written them by then


@dataclass(frozen=True)
class Configuration:
    """Settings, accounts and catalogue, checked against each other.

    `problems` are the issues of all files. While there is one, accounts and catalogue hold the valid entries only:
    enough to poll and fetch what is paid for, and nothing may be submitted. `notes` are warnings, as sentences.
    `entries` are the valid entries of accounts.yaml as they are written. `last_good` are the accounts that an earlier
    process saved, `last_good_entries` the same as they are written. `timezone` is the home's IANA name, or
    `last_good_timezone` if accounts.yaml has no valid one. `alerts` says where alerts go; while accounts.yaml has an
    issue and no valid section for it, it is the last good one, so that the issue can be reported.
    """

    settings: Settings
    accounts: Mapping[str, Account]
    catalogue: Catalogue
    notes: tuple[str, ...] = ()
    problems: tuple[ConfigIssue, ...] = ()
    entries: Mapping[str, object] = field(default_factory=dict)
    last_good: Mapping[str, Account] = field(default_factory=dict)
    last_good_entries: Mapping[str, object] = field(default_factory=dict)
    timezone: str = UTC_ZONE
    last_good_timezone: str | None = None
    alerts: Alerts | None = None
    last_good_alerts: Alerts | None = None

    def account_of(self, video: Video | str) -> Account:
        """Return the account of a video or of its key. KeyError for an unknown key."""
        return self.accounts[(self.catalogue.videos[video] if isinstance(video, str) else video).account]


def load_configuration(settings: Settings, providers: Providers, *, now: datetime) -> Configuration:
    """Return the configuration of a home. `now` is aware. Raises ConfigError with all issues of all files."""
    configuration = read_configuration(settings, providers, now=now)
    if configuration.problems:
        raise ConfigError(configuration.problems)
    return configuration


def read_configuration(settings: Settings, providers: Providers, *, now: datetime, keep: bool = False) -> Configuration:
    """Return the valid entries of a home's files, and the issues of the others. `now` is aware.

    If accounts.yaml has issues, the catalogue is checked against the last good accounts as well. Files that change
    while they are read are read again, because an editor may be saving them; if they change each time, that is an
    issue. With `keep`, a catalogue without a mistake is remembered in the home's state folder, if there is one.
    """
    keep = keep and settings.state_dir.is_dir()
    for tries_left in reversed(range(MAX_READS)):
        marks = file_marks(settings.home)
        configuration, recalled = _read_once(settings, providers, now=now, keep=keep)
        changed = {name for name, _ in {*marks} ^ {*file_marks(settings.home)}}
        changed.update(map(str, configuration.catalogue.changed_images()))
        if recalled is not None:
            recalled.keep(settings.state_dir) if keep and not changed else recalled.drop()
        if not changed or not tries_left:
            break
        time.sleep(_PAUSE_S)
    return _unsettled(configuration, changed) if changed else configuration


def file_marks(home: Path) -> tuple[tuple[str, object], ...]:
    """Return a value that changes when a file of the home is written: pairs of a name and a mark. It takes a stat call
    for each file."""
    files, issues = catalogue_files(home)
    last_good = last_good_path(home / "state")
    paths = [(ACCOUNTS_FILE, home / ACCOUNTS_FILE), (last_good.name, last_good)]
    paths += [(file.name, file.path) for file in files]
    marks = [(name, file_mark(path)) for name, path in paths]
    return (*marks, *((issue.file, issue.message) for issue in issues))


def _unsettled(configuration: Configuration, files: Iterable[str]) -> Configuration:
    """Return a configuration with an issue for each file that changed when it was last read: what was read may be half
    of what is being written."""
    message = "is still being written: it changed while it was read"
    hint = "Nothing is submitted until it stays as it is; if it goes on, look for the program that writes it."
    issues = [ConfigIssue(file, None, message, hint) for file in files]
    problems = ConfigError([*configuration.problems, *issues]).problems
    catalogue = replace(configuration.catalogue, digest="", change=None, images={})
    return replace(configuration, catalogue=catalogue, problems=problems)


def load_accounts(settings: Settings, providers: Providers) -> dict[str, Account]:
    """Return the accounts by name, in the order of the file. Raises ConfigError with all issues of accounts.yaml."""
    accounts = read_accounts(settings.home / ACCOUNTS_FILE, providers)
    if accounts.issues:
        raise ConfigError(accounts.issues)
    return dict(accounts.accounts)


def _read_once(
    settings: Settings, providers: Providers, *, now: datetime, keep: bool
) -> tuple[Configuration, Recalled | None]:
    accounts = read_accounts(settings.home / ACCOUNTS_FILE, providers)
    last_good_file = last_good_path(settings.state_dir)
    last_good = read_accounts(last_good_file, providers) if is_file(last_good_file) else AccountList({}, {}, providers)
    usable = accounts
    recalled: Recalled | None = None
    if accounts.issues:
        usable = replace(
            accounts,
            accounts={**last_good.accounts, **accounts.accounts},
            provider_names={**last_good.provider_names, **accounts.provider_names},
        )
    else:
        recalled = recall(settings.home, settings.state_dir, accounts, now=now, keep=keep)
    issues: Sequence[ConfigIssue] = ()
    if recalled is None:
        read = read_whole(settings.home, usable, accounts, now=now)
        issues = (*accounts.issues, *read.issues)
        if not issues:
            recalled = remember(read, settings.home, settings.state_dir, accounts, now=now, keep=keep)
    catalogue = recalled.catalogue if recalled is not None else _valid_part(read.catalogue, usable.accounts, issues)
    configuration = Configuration(
        settings,
        accounts.accounts,
        catalogue,
        tuple(warnings_on(catalogue, accounts.accounts)),
        ConfigError(issues).problems,
        accounts.entries,
        last_good.accounts,
        last_good.entries,
        accounts.timezone or last_good.timezone or UTC_ZONE,
        last_good.timezone,
        accounts.alerts or (last_good.alerts if accounts.issues else None),
        last_good.alerts,
    )
    return configuration, recalled


def _valid_part(catalogue: Catalogue, accounts: Mapping[str, Account], issues: Iterable[ConfigIssue]) -> Catalogue:
    invalid = {issue.subject for issue in issues if issue.file != ACCOUNTS_FILE}
    videos = {key: video for key, video in catalogue.videos.items() if key not in invalid and video.account in accounts}
    return replace(catalogue, videos={key: video for key, video in videos.items() if _has_root(video, videos)})


def _has_root(video: Video, videos: Mapping[str, Video]) -> bool:
    try:
        root_source(video, videos)
    except KeyError:
        return False
    return True
