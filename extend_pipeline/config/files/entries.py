"""Lists of entries in YAML, and the entries of a catalogue as rows, before their providers are known."""

import bisect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from extend_pipeline.base.names import normal_name
from extend_pipeline.config.files.located import Node
from extend_pipeline.config.files.text import EMPTY
from extend_pipeline.config.files.translate import Scope, no_signed_url
from extend_pipeline.config.files.yaml import read_yaml
from extend_pipeline.config.issues import ConfigIssue, FieldIssue, did_you_mean
from extend_pipeline.config.model.catalogue import BranchSource, Entry


@dataclass(frozen=True)
class Row:
    """One entry of the catalogue; `key`, `account`, `branch_of` and `was` are None if they are missing or invalid."""

    scope: Scope
    key: str | None
    account: str | None
    is_branch: bool
    branch_of: str | None
    branch: BranchSource | None
    was: str | None = None
    again: bool = False


def read_list(
    text: str | ConfigIssue, file: str, root: str, *, beside: Sequence[str] = ()
) -> tuple[list[Node], list[ConfigIssue], Node | None]:
    """Return the items of the list `root` of a YAML file, the issues, and the node of the whole file (None if it is no
    set of fields). The file may have the fields `beside` the list, and any that begin with `x-`, for anchors. `file` is
    its name in issues."""
    if isinstance(text, ConfigIssue):
        return [], [text], None
    tree, issues = read_yaml(text, file)
    if tree is None or tree.value is None:
        if not issues:
            issues.append(ConfigIssue(file, 1, *EMPTY))
        return [], issues, None
    if not tree.is_mapping:
        hint = f"Begin it with {root}: and a list below."
        issues.append(ConfigIssue(file, tree.line, "the file is not a set of fields", hint))
        return [], issues, None
    known = [root, *beside]
    for name, (line, _) in tree.children.items():
        if name not in known and not str(name).startswith("x-"):
            hint = did_you_mean(str(name), known, label="Known here")
            issues.append(ConfigIssue(file, line, "is not a known field here", hint, field=str(name)))
    if root not in tree.children:
        issues.append(ConfigIssue(file, tree.line, "is missing", f"Write {root}: and a list below.", field=root))
        return [], issues, tree
    line, items = tree.children[root]
    if not items.is_sequence and items.value is not None:
        issues.append(ConfigIssue(file, line, "is not a list", 'Begin each entry with "- ".', field=root))
        return [], issues, tree
    nodes = [item for _, item in items.children.values()]
    return nodes, _with_subjects(issues, nodes), tree


def row_of(node: Node, file: str) -> tuple[Row, list[ConfigIssue]]:
    """Return an entry, and the issues of everything but its `source` and `extend`."""
    key = node.child("key")
    scope = Scope(file, node, name_in(key), no_signed_url)
    entry, row_issues = scope.read(Entry)
    account = node.child("account")
    source = node.child("source")
    is_branch = source is not None and source.is_mapping and bool(source.children.keys() & {"branch_of", "hop"})
    branch = branch_of = None
    if is_branch:
        branch, branch_issues = scope.read(BranchSource, "source")
        row_issues += branch_issues
        branch_of = name_in((node.child("source") or node).child("branch_of"))
    invalid = {issue.field for issue in row_issues}
    row = Row(
        scope,
        key=None if "key" in invalid or not node.is_mapping else name_in(key),
        account=None if "account" in invalid else name_in(account),
        is_branch=is_branch,
        branch_of=None if "source.branch_of" in invalid else branch_of,
        branch=branch,
        was=None if entry is None else entry.was,
        again=entry is not None and entry.again,
    )
    return row, row_issues


def name_in(node: Node | None) -> str | None:
    """Return the normal form of a name that is written; None if there is no text."""
    return None if node is None or node.text is None else normal_name(node.text)


def repeated_keys(rows: Sequence[Row]) -> Iterator[ConfigIssue]:
    """Yield an issue for each entry whose key an earlier entry has, with the place of the earlier one."""
    first: dict[str, Row] = {}
    for row in rows:
        if row.key is not None and (before := first.setdefault(row.key, row)) is not row:
            message = f"is the key of {before.scope.file}:{before.scope.node.line} too"
            yield row.scope.issue(FieldIssue(("key",), message, "Give each video its own key."))


def reused_names(
    entries: Sequence[tuple[Scope, str | None]], names: Collection[str | None], *, kind: str, still: str, hint: str
) -> Iterator[ConfigIssue]:
    """Yield an issue for each earlier name (`was`, the second of a pair) that is one of today's `names` or the earlier
    name of another entry too. `kind` is what the entries are; `still` is the message of the first case."""
    before: dict[str, Scope] = {}
    for scope, was in entries:
        if was is None:
            continue
        if was in names:
            yield scope.issue(FieldIssue(("was",), still, hint))
        elif before.setdefault(was, scope) is not scope:
            message = f"is what {kind} {before[was].subject} says that it was, too"
            yield scope.issue(FieldIssue(("was",), message, hint))


def _with_subjects(issues: list[ConfigIssue], nodes: list[Node]) -> list[ConfigIssue]:
    """Return issues of the syntax with the key or name of the entry that each one is in."""
    lines = [node.line for node in nodes]
    if lines != sorted(lines):  # an alias has the line where its anchor is
        return issues
    named = []
    for issue in issues:
        position = bisect.bisect_right(lines, issue.line or 0) - 1
        key = None if position < 0 else nodes[position].child("key") or nodes[position].child("name")
        named.append(issue if key is None else replace(issue, subject=name_in(key)))
    return named
