"""The accounts that a home works with: those of accounts.yaml and, for what is already paid for, the last good entries
of accounts that are removed from the file or have a mistake in it."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from extend_pipeline.base.days import UTC_ZONE
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigIssue
from extend_pipeline.config.last_good import last_good_path, write_last_good
from extend_pipeline.config.load import Configuration
from extend_pipeline.ledger.database import Ledger
from extend_pipeline.ledger.read import queries

_log = logging.getLogger(__name__)


def with_accounts_in_use(configuration: Configuration, ledger: Ledger) -> tuple[Configuration, frozenset[str]]:
    """Return the configuration completed with last good entries, and the names of the accounts with open attempts.

    A last good entry is added for every account that an open attempt or a valid video needs and that accounts.yaml
    doesn't give, or gives with another provider than the open tasks have.
    """
    with ledger.read() as connection:
        open_attempts = queries.open_accounts(connection)
    in_use = frozenset(name for name, _ in open_attempts)
    current, last_good = configuration.accounts, configuration.last_good
    changed = [
        _other_provider(configuration, name, provider, count) for (name, provider), count in open_attempts.items()
    ]
    problems = [problem for problem in changed if problem is not None]
    needed = in_use | configuration.catalogue.accounts().keys()
    replaced = {problem.subject for problem in problems}
    kept = {
        name: account
        for name, account in last_good.items()
        if name in needed and (name not in current or name in replaced)
    }
    complete = replace(
        configuration,
        accounts={**current, **kept},
        problems=(*configuration.problems, *problems),
        entries={name: entry for name, entry in configuration.entries.items() if name not in kept},
    )
    return complete, in_use


def keep_accounts(configuration: Configuration, in_use: frozenset[str]) -> None:
    """Save the account entries that are valid now, together with the saved ones of accounts with open attempts.

    While the files have a mistake, no saved entry is dropped. A disk that can't be written only causes a warning in
    the log, because the work can continue without the file.
    """
    kept: Mapping[str, object] = {
        name: entry
        for name, entry in configuration.last_good_entries.items()
        if configuration.problems or name in in_use
    }
    entries = {**kept, **configuration.entries}
    alerts = configuration.alerts
    known = (
        configuration.last_good_entries,
        configuration.last_good_timezone or UTC_ZONE,
        configuration.last_good_alerts,
    )
    if (entries, configuration.timezone, alerts) == known or not configuration.entries:
        return
    state_dir = configuration.settings.state_dir
    try:
        written = None if alerts is None else alerts.as_written
        write_last_good(state_dir, entries, timezone=configuration.timezone, alerts=written)
    except OSError as error:
        _log.warning("%s could not be written: %s", last_good_path(state_dir), error)


def _other_provider(configuration: Configuration, name: str, provider: str, count: int) -> ConfigIssue | None:
    """Return the issue of an account whose provider was changed while `count` tasks of the old provider are open; None
    when it was not changed or the old entry is no longer saved."""
    current, before = configuration.accounts.get(name), configuration.last_good.get(name)
    if current is None or current.provider == provider or before is None or before.provider != provider:
        return None
    message = f"is not {provider}, where this account has tasks under way: {count}"
    hint = f"Put provider: {provider} back, and give the other account a name of its own."
    return ConfigIssue(ACCOUNTS_FILE, None, message, hint, subject=name, field="provider", given=current.provider)
