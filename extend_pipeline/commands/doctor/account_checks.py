"""Doctor's checks of accounts: variables, route, credentials and clock.

Only requests that are free of charge are sent, and no value of a credential is ever shown.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Final
from urllib.parse import urlsplit

from extend_pipeline.alerts.receivers import receivers_of
from extend_pipeline.base.net import is_local
from extend_pipeline.commands.doctor.diagnostics import Finding, ok, problem, warning
from extend_pipeline.config.load import Configuration
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.keys import send_free_query
from extend_pipeline.providers.http.client import HttpClient, address_policy
from extend_pipeline.providers.http.guard import AddressPolicy
from extend_pipeline.providers.http.proxy import ENVIRONMENT, NONE, proxy_variable
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
ROUTE_TODO: Final = "see the message; `ca` and `proxy` are set in the account or in defaults: of accounts.yaml"


def check_variables(account: Account, *, used: bool) -> Iterator[Finding]:
    """Yield whether each environment variable that an account names holds a possible key."""
    check = f"account {account.name}"
    for name in variables_of(account):
        value = read_secret(name)
        if not isinstance(value, SecretFault):
            yield ok(check, f"{name} is set")
        elif used:
            yield problem(check, value.message, f"set {name} where the pipeline runs")
        else:
            yield warning(check, f"{value.message} (no video uses it)", f"set {name} before one does")


def check_route(account: Account) -> Iterator[Finding]:
    """Yield the route of the account's calls, and whether its certificates and proxy exist. Sends nothing."""
    check, route = f"account {account.name}", route_of(account)
    parts = urlsplit(account.base_url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if (fault := check_trust(route.trust)) is not None:
        yield problem(check, fault, ROUTE_TODO)
    elif route.trust != PUBLIC:
        yield ok(check, f"certificates count as ca: {route.trust} says")
    allowed = address_policy(parts.scheme, allow_local=account.allow_local, route=route)
    try:
        proxy = route.proxy_to(parts.hostname or "", port, scheme=parts.scheme, allowed=allowed)
    except SettingRefused as error:
        yield problem(check, str(error), ROUTE_TODO)
        return
    unused_variable = proxy_variable()
    if proxy is not None:
        yield ok(check, f"it goes through the proxy {proxy} ({proxy.named_by})")
    elif route.proxy != NONE:
        reason = "as NO_PROXY or the lack of HTTPS_PROXY says" if route.proxy == ENVIRONMENT else "not by the proxy"
        if allowed is not AddressPolicy.PUBLIC:
            reason = "its host is in your own network"
        yield ok(check, f"it is reached directly: {reason}")
    elif unused_variable is not None and account.proxy is None and allowed is AddressPolicy.PUBLIC:
        todo = "write proxy: environment in accounts.yaml (defaults: for all), or proxy: none if this is intended"
        yield warning(check, f"it is reached directly, and {unused_variable} is set here but not used", todo)
    else:
        yield ok(check, "it is reached directly")


def check_callbacks(account: Account) -> Iterator[Finding]:
    """Yield whether the provider can reach the callback address, and whether its signing secret is set."""
    if account.callbacks is None:
        return
    check = f"callbacks of {account.name}"
    parts = urlsplit(account.callbacks.url)
    if account.network != "private" and (parts.scheme != "https" or is_local(parts.hostname or "")):
        message = f"{account.callbacks.url} is an address of this machine or network: no provider can call it"
        yield warning(check, message, "give the https address of the proxy in front of extend-pipeline callbacks")
    else:
        yield ok(check, f"callbacks go to {account.callbacks.url}")
    match read_signing_secrets(account):
        case SecretFault(message):
            todo = f"set {account.callbacks.secret_env} where extend-pipeline callbacks runs: it doesn't start without"
            yield problem(check, message, todo)
        case None:
            message = "callbacks aren't signed: anyone who learns an address can name a task, which is then looked up"
            yield ok(check, message)
        case secrets:
            yield ok(check, f"{account.callbacks.secret_env} is set, secrets: {len(secrets)}")


def check_alerts(configuration: Configuration) -> Iterator[Finding]:
    """Yield whether each receiver of alerts could be tried. Nothing is sent."""
    for receiver in receivers_of(configuration):
        if fault := receiver.fault():
            yield warning("alerts", f"{receiver.name}: {fault}", "set it right where Dagster's alert_sensor runs")
        else:
            yield ok("alerts", f"the {receiver.name} can be tried: extend-pipeline alert --test")


def check_upstream(account: Account, settings: Settings, *, now: Callable[[], float]) -> Iterator[Finding]:
    """Yield whether the upstream is reachable, its clock agrees with ours, and it accepts the credentials."""
    check = f"account {account.name}"
    with closing(HttpClient(account.base_url, allow_local=account.allow_local, route=route_of(account))) as client:
        reply = client.get("/", headers={}, deadline_s=settings.get_deadline_s)
    match reply:
        case NotSent(reason, setting=Setting()):
            yield problem(check, reason, ROUTE_TODO)
            return
        case NotSent(reason) | NoResponse(reason):
            todo = "check base_url, the network, the firewall and the provider's status page"
            yield problem(check, f"{account.base_url} can't be reached: {reason}", todo)
            return
        case Reply():
            yield check_clock(check, clock_skew(reply.headers, now=now()))
    if any(isinstance(read_secret(name), SecretFault) for name in variables_of(account)):
        return  # check_variables reports it
    with closing(build_provider(account, settings=settings, now=now)) as provider:
        yield check_access(check, account, send_free_query(provider))


def check_clock(check: str, skew_s: float | None) -> Finding:
    """Return a finding about the clocks. `skew_s` is by how many seconds this machine's clock is ahead; None if the
    response had no date."""
    if skew_s is None:
        return ok(check, "it responds, without a date to compare clocks by")
    if abs(skew_s) < MAX_SKEW_S:
        return ok(check, "it responds, and the clocks agree")
    direction = "ahead of" if skew_s > 0 else "behind"
    message = f"this machine's clock is {abs(skew_s):.0f} s {direction} the provider's"
    todo = "set the clock by NTP: tokens, budgets and expiries depend on it"
    return (problem if abs(skew_s) >= FAR_SKEW_S else warning)(check, message, todo)


def check_access(check: str, account: Account, outcome: Page | QueryOutcome) -> Finding:
    """Return a finding about the credentials, from the response to a free request."""
    match outcome:
        case QueryFailed(QueryFault.CERTIFICATE | QueryFault.PROXY, error):
            return problem(check, error.message, ROUTE_TODO)
        case Page() | Found() | NotFound():
            return ok(check, "the credentials are accepted")
        case QueryFailed(QueryFault.AUTH | QueryFault.FORBIDDEN, error):
            todo = f"check {' and '.join(variables_of(account))} and the key's region"
            return problem(check, f"the credentials are refused: {error.message}", todo)
        case QueryFailed(QueryFault.BALANCE, error):
            return problem(check, f"the account can't pay: {error.message}", "top it up at the provider")
        case QueryFailed(fault, error):
            return warning(check, f"it gave no clear response ({fault.value}): {error.message}", "try again")
