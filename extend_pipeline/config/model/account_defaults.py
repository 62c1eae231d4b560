"""The `defaults:` of accounts.yaml: fields of every account that does not set them itself."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydantic import Field

from extend_pipeline.config.fields.text import ConfigModel
from extend_pipeline.config.files.located import Node, mapping
from extend_pipeline.config.files.translate import Scope
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigIssue
from extend_pipeline.config.model.network import (
    PROXY_DESCRIPTION,
    CertificateAuthority,
    Proxy,
    ProxyLogin,
)

DEFAULTS_FIELD: Final = "defaults"


class AccountDefaults(ConfigModel):
    """How accounts reach the internet, which is the same for most of them."""

    ca: CertificateAuthority = None
    proxy: Proxy | None = Field(default=None, description=PROXY_DESCRIPTION, examples=["environment"])
    proxy_login_env: ProxyLogin = None


def read_defaults(node: Node | None) -> tuple[dict[str, tuple[int, Node]], list[ConfigIssue]]:
    """Return the fields of `defaults:`, as they are written, and the issues. With an issue there are no fields."""
    if node is None or node.value is None:
        return {}, []
    scope = Scope(ACCOUNTS_FILE, node, None, lambda _field, _value: False)
    valid, issues = scope.read(AccountDefaults)
    if valid is None:
        return {}, [replace(i, field=f"{DEFAULTS_FIELD}.{i.field}" if i.field else DEFAULTS_FIELD) for i in issues]
    return {str(name): child for name, child in node.children.items() if child[1].value is not None}, []


def with_defaults(account: Node, defaults: dict[str, tuple[int, Node]]) -> Node:
    """Return an account's entry with the defaults that it doesn't set itself, so that they are checked and reported
    like its own fields."""
    if not account.is_mapping or not defaults:
        return account
    if _names_another_proxy(account, defaults):  # the credentials are for the proxy beside them
        defaults = {name: child for name, child in defaults.items() if name != "proxy_login_env"}
    own = {str(name): child for name, child in account.children.items() if child[1].value is not None}
    return mapping({**{str(k): v for k, v in account.children.items()}, **defaults, **own}, account.line)


def _names_another_proxy(account: Node, defaults: Mapping[str, tuple[int, Node]]) -> bool:
    own, common = account.child("proxy"), defaults.get("proxy")
    return own is not None and own.value is not None and (common is None or own.value != common[1].value)
