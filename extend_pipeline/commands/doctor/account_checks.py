"""Doctor's checks of accounts: variables are set, the upstream answers, takes the credentials, and agrees on the time.

Only questions that are free of charge are asked, and no value of a credential is ever shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from extend_pipeline.base.net import is_local
from extend_pipeline.commands.doctor.diagnostics import Finding, ok, problem, warning
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.keys import send_free_query
from extend_pipeline.providers.http.client import HttpClient, reach_of
from extend_pipeline.providers.http.guard import AddressPolicy
from extend_pipeline.providers.http.proxy import ENVIRONMENT, NONE, named_in_environment
from extend_pipeline.providers.http.results import NoResponse, NotSent, Reply, Setting, SettingRefused
from extend_pipeline.providers.http.retry import clock_skew
from extend_pipeline.providers.http.route import route_of
from extend_pipeline.providers.http.trust import PUBLIC, check_trust
from extend_pipeline.providers.protocol import Found, NotFound, Page, QueryFailed, QueryFault, QueryOutcome
from extend_pipeline.providers.registry import build_provider
from extend_pipeline.providers.wire.credentials import SecretFault, read_secret, variables_of
from extend_pipeline.webhooks.signature import read_signing_secrets

# tokens are valid from 5 s before they are minted (docs/upstream/kling.md, "Authentication"), and an HTTP date is whole
# seconds
MAX_SKEW_S: Final = 4.0
FAR_SKEW_S: Final = 60.0
SET_IT: Final = "see the message; `ca` and `proxy` stand in the account or in defaults: of accounts.yaml"


def check_variables(account: Account, *, used: bool) -> Iterator[Finding]:
    """Yield the environment variables that an account names hold something that can be a key."""
    check = f"account {account.name}"
    for name in variables_of(account):
        value = read_secret(name)
        if not isinstance(value, SecretFault):
            yield ok(check, f"{name} is set")
        elif used:
            yield problem(check, value.message, f"set {name} where the pipeline runs")
        else:
            yield warning(
                f"account {account.name}", f"{value.message} (no video uses it)", f"set {name} before one does"
            )


def check_route(account: Account) -> Iterator[Finding]:
    """Yield which way the account's calls go, and whether what they need for it is there. Asks nobody."""
    check, route = f"account {account.name}", route_of(account)
    parts = urlsplit(account.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if (fault := check_trust(route.trust)) is not None:
        yield problem(check, fault, SET_IT)
    elif route.trust != PUBLIC:
        yield ok(check, f"certificates count as ca: {route.trust} says")
    reach = reach_of(parts.scheme, allow_local=account.allow_local, route=route)
    try:
        proxy = route.proxy_to(parts.hostname or "", port, scheme=parts.scheme, reach=reach)
    except SettingRefused as error:
        yield problem(check, str(error), SET_IT)
        return
    known = named_in_environment()
    if proxy is not None:
        yield ok(check, f"it goes through the proxy {proxy} ({proxy.named_by})")
    elif route.proxy != NONE:
        why = "as NO_PROXY or the lack of HTTPS_PROXY says" if route.proxy == ENVIRONMENT else "not through the proxy"
        own = "its host is in your own network" if reach is not AddressPolicy.PUBLIC else why
        yield ok(check, f"it is reached directly: {own}")
    elif known is not None and account.proxy is None and reach is AddressPolicy.PUBLIC:
        todo = "write proxy: environment in accounts.yaml (defaults: for all), or proxy: none if this is meant"
        yield warning(check, f"it is reached directly, and {known} is set here but not used", todo)
    else:
        yield ok(check, "it is reached directly")


def check_callbacks(account: Account) -> Iterator[Finding]:
    """Yield where the provider shall call back it can call, and what it signs with is known here."""
    if account.callbacks is None:
        return
    check = f"callbacks of {account.name}"
    parts = urlsplit(account.callbacks.url)
    if account.network != "private" and (parts.scheme != "https" or is_local(parts.hostname or "")):
        told = f"{account.callbacks.url} is an address of this machine or network: no provider can call it"
        yield warning(check, told, "give the https address of the proxy that stands before extend-pipeline callbacks")
    else:
        yield ok(check, f"tasks are told of to {account.callbacks.url}")
    match read_signing_secrets(account):
        case SecretFault(message):
            todo = f"set {account.callbacks.secret_env} where extend-pipeline callbacks runs: it doesn't start without"
            yield problem(check, message, todo)
        case None:
            told = "callbacks aren't signed: whoever learns an address can name a task, which is looked at"
            yield ok(check, told)
        case secrets:
            yield ok(check, f"{account.callbacks.secret_env} is set, secrets: {len(secrets)}")


def check_upstream(account: Account, settings: Settings, *, now: Callable[[], float]) -> Iterator[Finding]:
    """Yield the account's upstream can be reached, its clock is ours, and it takes the credentials."""
    check = f"account {account.name}"
    client = HttpClient(account.base_url, allow_local=account.allow_local, route=route_of(account))
    try:
        reply = client.get("/", headers={}, deadline_s=settings.get_deadline_s)
    finally:
        client.close()
    match reply:
        case NotSent(reason, setting=Setting()):
            yield problem(check, reason, SET_IT)
            return
        case NotSent(reason) | NoResponse(reason):
            todo = "check base_url, the network, the firewall and the provider's status page"
            yield problem(check, f"{account.base_url} can't be reached: {reason}", todo)
            return
        case Reply():
            yield judge_clock(check, clock_skew(reply.headers, now=now()))
    if any(isinstance(read_secret(name), SecretFault) for name in variables_of(account)):
        return  # told already, by name
    provider = build_provider(account, settings=settings, now=now)
    try:
        yield judge_access(check, account, send_free_query(provider))
    finally:
        provider.close()


def judge_clock(check: str, skew_s: float | None) -> Finding:
    """Return what the difference between two clocks means; `skew_s` is how far this machine's is ahead, in seconds."""
    if skew_s is None:
        return ok(check, "it answers, without a date to compare clocks by")
    if abs(skew_s) < MAX_SKEW_S:
        return ok(check, "it answers, and the clocks agree")
    way = "ahead of" if skew_s > 0 else "behind"
    told = f"this machine's clock is {abs(skew_s):.0f} s {way} the provider's"
    todo = "set the clock by NTP: tokens are refused, and budgets and expiries are reckoned by it"
    return (problem if abs(skew_s) >= FAR_SKEW_S else warning)(check, told, todo)


def judge_access(check: str, account: Account, answer: Page | QueryOutcome) -> Finding:
    """Return what the answer to a free question says of the credentials."""
    match answer:
        case QueryFailed(QueryFault.CERTIFICATE | QueryFault.PROXY, told):
            return problem(check, told.message, SET_IT)
        case Page() | Found() | NotFound():
            return ok(check, "the credentials are accepted")
        case QueryFailed(QueryFault.AUTH | QueryFault.FORBIDDEN, told):
            names = " and ".join(variables_of(account))
            return problem(
                check, f"the credentials are refused: {told.message}", f"look at {names} and the key's region"
            )
        case QueryFailed(QueryFault.BALANCE, told):
            return problem(check, f"the account can't pay: {told.message}", "charge it up at the provider")
        case QueryFailed(fault, told):
            return warning(check, f"it gave no clear answer ({fault.value}): {told.message}", "try again")
