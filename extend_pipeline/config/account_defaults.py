"""What holds for all accounts of accounts.yaml: `defaults:`, for accounts that say nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pydantic import Field

from extend_pipeline.config.fields import Written
from extend_pipeline.config.located import Node, mapping
from extend_pipeline.config.network import CA_DESCRIPTION, CertificateAuthority
from extend_pipeline.config.problems import ACCOUNTS_FILE, Problem
from extend_pipeline.config.translate import Scope

FIELD: Final = "defaults"


class AccountDefaults(Written):
    """The way out of one's own network, which is the same for most accounts."""

    ca: CertificateAuthority | None = Field(default=None, description=CA_DESCRIPTION, examples=["system"])


def read_defaults(node: Node | None) -> tuple[dict[str, tuple[int, Node]], list[Problem]]:
    """Return what `defaults:` says, as it is written, and what is wrong with it; then nothing of it holds."""
    if node is None or node.value is None:
        return {}, []
    scope = Scope(ACCOUNTS_FILE, node, None, lambda _field, _given: False)
    known, problems = scope.read(AccountDefaults)
    if known is None:
        named = (f"{FIELD}.{problem.field}" if problem.field else FIELD for problem in problems)
        return {}, [replace(problem, field=name) for problem, name in zip(problems, named, strict=True)]
    return {str(name): child for name, child in node.children.items() if child[1].value is not None}, []


def with_defaults(account: Node, defaults: dict[str, tuple[int, Node]]) -> Node:
    """Return an account's entry with the defaults that it doesn't write itself: so they are read, checked, kept and
    told like its own."""
    if not account.is_mapping or not defaults:
        return account
    own = {str(name): child for name, child in account.children.items() if child[1].value is not None}
    return mapping({**{str(k): v for k, v in account.children.items()}, **defaults, **own}, account.line)
