"""Read accounts.yaml, and the copy of its last good entries, which has the same form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extend_pipeline.config.fields.timezone import HomeFields
from extend_pipeline.config.files.entries import name_in, read_list, reused_names
from extend_pipeline.config.files.located import Node
from extend_pipeline.config.files.text import is_there, missing, read_text
from extend_pipeline.config.files.translate import Scope
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigIssue, FieldIssue, did_you_mean, nearest, shorten_value
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.account_defaults import DEFAULTS_FIELD, read_defaults, with_defaults
from extend_pipeline.config.model.alerts import ALERTS_FIELD, Alerts, read_alerts
from extend_pipeline.config.model.provider import ProviderConfig, Providers, by_name, owners

# Messages may repeat the values of these fields. Any other field of accounts.yaml may hold a secret by mistake.
_SHOWABLE = frozenset(
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
_ADDRESSES = frozenset({"base_url", "download_hosts", "public_media_url"})


@dataclass(frozen=True)
class AccountList:
    """The accounts of a file. `accounts` are the valid ones; `provider_names` and `scopes` hold every named entry,
    valid or not, by account name.

    `readable` is False if the file could not be read at all: no account is reported as unknown then. `timezone` is None
    unless the file has a valid one, `alerts` unless it has a valid section of that name.
    """

    accounts: Mapping[str, Account]
    provider_names: Mapping[str, str]
    providers: Providers
    readable: bool = True
    scopes: Mapping[str, Scope] = field(default_factory=dict)
    issues: Sequence[ConfigIssue] = ()
    timezone: str | None = None
    alerts: Alerts | None = None

    @property
    def entries(self) -> dict[str, object]:
        """Return the valid entries as they are written, by account name."""
        return {name: self.scopes[name].node.value for name in self.accounts}

    def provider_of(self, account: str | None) -> ProviderConfig | None:
        """Return the provider whose fields an entry of the catalogue should have. For an unknown account it is the only
        provider that is possible; None if there are several."""
        providers = by_name(self.providers)
        name = self.provider_names.get(account or "")
        if name is not None:
            return providers.get(name)
        possible = (set(self.provider_names.values()) & providers.keys()) or set(providers)
        return providers.get(possible.pop()) if len(possible) == 1 else None


def read_accounts(path: Path, providers: Providers) -> AccountList:
    """Return the accounts of a file, and every issue of it."""
    if not is_there(path):
        issue = missing(path, what="list of accounts", misnamed=("accounts.yml", "account.yaml"))
        return AccountList({}, {}, providers, readable=False, issues=[issue])
    beside = (*HomeFields.model_fields, DEFAULTS_FIELD, ALERTS_FIELD)
    nodes, issues, tree = read_list(read_text(path), path.name, "accounts", beside=beside)
    defaults, default_issues = read_defaults(None if tree is None else tree.child(DEFAULTS_FIELD))
    issues += default_issues
    alerts, alert_issues = read_alerts(None if tree is None else tree.child(ALERTS_FIELD), defaults)
    issues += alert_issues
    if default_issues:  # without them it would go another way
        alerts = None
    readable = bool(nodes) or not issues
    timezone = None
    if tree is not None:
        home_fields, home_issues = Scope(ACCOUNTS_FILE, tree, None, _may_show).read(HomeFields)
        issues += home_issues
        timezone = None if home_fields is None else home_fields.timezone
    accounts: dict[str, Account] = {}
    provider_names: dict[str, str] = {}
    scopes: dict[str, Scope] = {}
    for node in nodes:
        scope, provider = _scope(with_defaults(node, defaults)), node.child("provider")
        if scope.subject is not None:
            if scope.subject in scopes:
                first = scopes[scope.subject].node.line
                message = f"is the name of the account in line {first} too"
                issues.append(scope.issue(FieldIssue(("name",), message, "Give each its own.")))
                continue
            scopes[scope.subject] = scope
            provider_names[scope.subject] = (provider.text if provider is not None else None) or ""
        account, account_issues = _account(scope, providers)
        issues += account_issues
        if account is not None and not default_issues:  # without the defaults the entry would mean something else
            accounts[account.name] = account
    issues += reused_names(
        [(scopes[name], account.was) for name, account in accounts.items()],
        scopes.keys(),
        kind="account",
        still="is the name of an account of this file still",
        hint="Write was: in the one account that goes on under a new name.",
    )
    return AccountList(accounts, provider_names, providers, readable, scopes, issues, timezone, alerts)


def _scope(node: Node) -> Scope:
    return Scope(ACCOUNTS_FILE, node, name_in(node.child("name")), _may_show)


def _may_show(field: str, value: str) -> bool:
    top = field.partition(".")[0]
    return top in _SHOWABLE or (top in _ADDRESSES and not set("@?#") & set(value))


def _account(scope: Scope, providers: Providers) -> tuple[Account | None, list[ConfigIssue]]:
    node = scope.node.child("provider")
    if not scope.node.is_mapping:
        return None, [scope.issue(FieldIssue((), "an account is a set of fields", "Write - name: kling-main"))]
    if node is None or node.value is None:
        example = f"Write provider: {providers[0].name}"
        return None, [scope.issue(FieldIssue(("provider",), "is missing", example))]
    name, known = node.text or "", by_name(providers)
    provider = known.get(nearest(name, known) or "")
    if provider is None:
        return None, [scope.issue(_unsupported(name, list(known)))]
    account, issues = scope.read(provider.account, owners=owners(providers, "account"))
    if name != provider.name:  # the other fields are read as those of the provider that was probably meant
        others = [issue for issue in issues if issue.field != "provider"]
        return None, [scope.issue(_unsupported(name, list(known))), *others]
    if account is not None and not isinstance(account.price.per_extension_micros, int):
        unknown = account.price.per_extension_micros.keys() - set(provider.price_keys)
        issues += [scope.issue(_unknown_price_key(provider, key)) for key in sorted(unknown)]
    return account, issues


def _unknown_price_key(provider: ProviderConfig, key: str) -> FieldIssue:
    loc = ("price", "per_extension", key)
    if provider.modes:
        hint = f"Its modes are: {', '.join(provider.modes)}."
        return FieldIssue(loc, f"{provider.name} has no mode {key}", hint, about_value=False)
    if not provider.price_keys:
        hint = "Write one number: the units of one extension."
        return FieldIssue(loc, f"{provider.name} has one price for all extensions", hint, about_value=False)
    hint = did_you_mean(key, provider.price_keys) if "/" in key else ""
    hint = hint or f"Write it like {max(provider.price_keys, key=len)}."
    return FieldIssue(loc, f"{provider.name} has nothing to price by that name", hint, about_value=False)


def _unsupported(name: str, known: Sequence[str]) -> FieldIssue:
    supported = f"Supported: {', '.join(known)}."
    hint = f"{did_you_mean(name, known)} {supported}".strip()
    message = f"provider {shorten_value(name)} is not supported by this version"
    return FieldIssue(("provider",), message, hint, about_value=False)
