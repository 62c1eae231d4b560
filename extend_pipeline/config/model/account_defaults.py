"""What holds for all accounts of accounts.yaml: `defaults:`, for accounts that say nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydantic import Field, ValidationInfo, field_validator

from extend_pipeline.config.fields.text import ConfigModel
from extend_pipeline.config.files.located import Node, mapping
from extend_pipeline.config.files.translate import Scope
from extend_pipeline.config.issues import ACCOUNTS_FILE, ConfigIssue
from extend_pipeline.config.model.credentials import EnvName
from extend_pipeline.config.model.network import (
    CA_DESCRIPTION,
    PROXY_DESCRIPTION,
    PROXY_LOGIN_DESCRIPTION,
    CertificateAuthority,
    Proxy,
    login_of_a_proxy,
)

DEFAULTS_FIELD: Final = "defaults"


class AccountDefaults(ConfigModel):
    """The way out of one's own network, which is the same for most accounts."""

    ca: CertificateAuthority | None = Field(default=None, description=CA_DESCRIPTION, examples=["system"])
    proxy: Proxy | None = Field(default=None, description=PROXY_DESCRIPTION, examples=["environment"])
    proxy_login_env: EnvName | None = Field(default=None, description=PROXY_LOGIN_DESCRIPTION, examples=["PROXY_LOGIN"])

    @field_validator("proxy_login_env", mode="after")
    @classmethod
    def _check_login(cls, value: str | None, info: ValidationInfo) -> str | None:
        return login_of_a_proxy(value, info.data.get("proxy", "http://unread"))


def read_defaults(node: Node | None) -> tuple[dict[str, tuple[int, Node]], list[ConfigIssue]]:
    """Return what `defaults:` says, as it is written, and what is wrong with it; then nothing of it holds."""
    if node is None or node.value is None:
        return {}, []
    scope = Scope(ACCOUNTS_FILE, node, None, lambda _field, _given: False)
    known, problems = scope.read(AccountDefaults)
    if known is None:
        named = (f"{DEFAULTS_FIELD}.{problem.field}" if problem.field else DEFAULTS_FIELD for problem in problems)
        return {}, [replace(problem, field=name) for problem, name in zip(problems, named, strict=True)]
    return {str(name): child for name, child in node.children.items() if child[1].value is not None}, []


def with_defaults(account: Node, defaults: dict[str, tuple[int, Node]]) -> Node:
    """Return an account's entry with the defaults that it doesn't write itself: so they are read, checked, kept and
    told like its own."""
    if not account.is_mapping or not defaults:
        return account
    if _names_another_proxy(account, defaults):  # a log-in is for the one proxy that it stands beside
        defaults = {name: child for name, child in defaults.items() if name != "proxy_login_env"}
    own = {str(name): child for name, child in account.children.items() if child[1].value is not None}
    return mapping({**{str(k): v for k, v in account.children.items()}, **defaults, **own}, account.line)


def _names_another_proxy(account: Node, defaults: Mapping[str, tuple[int, Node]]) -> bool:
    own, common = account.child("proxy"), defaults.get("proxy")
    return own is not None and own.value is not None and (common is None or own.value != common[1].value)
