"""Doctor's checks of results: the hosts that they come from, and paid ones that may expire before they are fetched."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

from extend_pipeline.base.wording import first_names
from extend_pipeline.commands.doctor.diagnostics import Finding, ok, problem, warning
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.fetch.retention import Urgency, unfetched, urgent
from extend_pipeline.ledger.database import Ledger, LedgerError, has_ledger, open_ledger
from extend_pipeline.ledger.read import queries

MAX_HOSTS: Final = 10  # listed for each account, because a CDN may use thousands
MAX_RESULTS: Final = 20  # expiring results that are listed; the rest is counted


def check_results(settings: Settings, *, now_ms: int) -> Iterator[Finding]:
    """Yield the hosts of each account's newest results, and every paid result that may expire before it is fetched."""
    if not has_ledger(settings.ledger_url):
        return
    try:
        ledger = open_ledger(settings.ledger_url)
    except LedgerError:
        return  # check_ledger reports it
    with closing(ledger):
        yield from _hosts(ledger)
        yield from _expiring(ledger, now_ms)


def _hosts(ledger: Ledger) -> Iterator[Finding]:
    hosts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    with ledger.read() as connection:
        for account, url in queries.newest_results(connection):
            hosts[account][_origin(url)] += 1
    for account, counts in sorted(hosts.items()):
        hosts_and_counts = [f"{host} ({count})" for host, count in counts.most_common()]
        yield ok(f"account {account}", f"the newest results came from {first_names(hosts_and_counts, MAX_HOSTS)}")


def _origin(url: str) -> str:
    """Return a URL's host, with `http://` before it if it is without TLS; never the path or the query."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or "no host"
    except ValueError:
        return "an unreadable URL"
    return f"http://{host}" if parts.scheme == "http" else host


def _expiring(ledger: Ledger, now_ms: int) -> Iterator[Finding]:
    ending = urgent(unfetched(ledger, now_ms))
    todo = "fix the cause and run extend-pipeline advance, or ask the provider for the file"
    for result in ending[:MAX_RESULTS]:
        finding = warning if result.urgency is Urgency.SOON else problem
        yield finding(f"account {result.account}", result.describe(now_ms), todo)
    if len(ending) > MAX_RESULTS:
        yield problem("results", f"{len(ending) - MAX_RESULTS} more expire soon", "extend-pipeline status lists them")
