"""Read catalog.yaml and catalog.csv into rows, before their providers are known."""

import bisect
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from extend_pipeline.base.names import normal_name
from extend_pipeline.config.files.csv import read_csv
from extend_pipeline.config.files.located import Node
from extend_pipeline.config.files.text import EMPTY, is_there, missing, read_text
from extend_pipeline.config.files.translate import Scope, no_signed_url
from extend_pipeline.config.files.yaml import read_yaml
from extend_pipeline.config.issues import ConfigIssue, FieldIssue, did_you_mean
from extend_pipeline.config.model.catalogue import BranchSource, CatalogueDefaults, Entry
from extend_pipeline.config.model.provider import Providers, columns


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
    path: Path, root: str, *, beside: Sequence[str] = ()
) -> tuple[list[Node], list[ConfigIssue], Node | None]:
    """Return the items of the list `root` of a YAML file, the issues, and the node of the whole file (None if it is no
    set of fields). The file may have the fields `beside` the list, and any that begin with `x-`, for anchors."""
    text = read_text(path)
    if isinstance(text, ConfigIssue):
        return [], [text], None
    tree, issues = read_yaml(text, path.name)

    if tree is None or tree.value is None:
        if not issues:
            issues.append(ConfigIssue(path.name, 1, *EMPTY))
        return [], issues, None
    if not tree.is_mapping:
        hint = f"Begin it with {root}: and a list below."
        issues.append(ConfigIssue(path.name, tree.line, "the file is not a set of fields", hint))
        return [], issues, None
    known = [root, *beside]
    for name, (line, _) in tree.children.items():
        if name not in known and not str(name).startswith("x-"):
            hint = did_you_mean(str(name), known, label="Known here")
            issues.append(ConfigIssue(path.name, line, "is not a known field here", hint, field=str(name)))
    if root not in tree.children:
        issues.append(ConfigIssue(path.name, tree.line, "is missing", f"Write {root}: and a list below.", field=root))
        return [], issues, tree
    line, items = tree.children[root]
    if not items.is_sequence and items.value is not None:
        issues.append(ConfigIssue(path.name, line, "is not a list", 'Begin each entry with "- ".', field=root))
        return [], issues, tree
    nodes = [item for _, item in items.children.values()]
    return nodes, _with_subjects(issues, nodes), tree


def read_rows(home: Path, providers: Providers) -> tuple[list[Row], list[ConfigIssue], Path, CatalogueDefaults]:
    """Return the rows of both catalogue files, the issues of everything but their `source` and `extend`, the first file
    that exists, and the `defaults` of catalog.yaml."""
    as_yaml, as_csv = home / "catalog.yaml", home / "catalog.csv"
    rows: list[Row] = []
    issues: list[ConfigIssue] = []
    defaults = CatalogueDefaults()
    if not is_there(as_yaml) and not is_there(as_csv):
        misnamed = ("catalog.yml", "catalogue.yaml", "catalogue.yml", "catalogue.csv")
        return [], [missing(as_yaml, what="catalogue", misnamed=misnamed)], as_yaml, defaults
    if is_there(as_yaml):
        nodes, file_issues, tree = read_list(as_yaml, "videos", beside=("defaults",))
        issues += file_issues
        node = None if tree is None else tree.child("defaults")
        if node is not None and node.value is not None:
            valid, default_issues = Scope(as_yaml.name, node, None, no_signed_url).read(CatalogueDefaults)
            issues += [replace(issue, field=f"defaults.{issue.field}") for issue in default_issues]
            defaults = valid or defaults
        rows += [_row(node, as_yaml.name, issues) for node in nodes]
    if is_there(as_csv):
        text = read_text(as_csv)
        nodes, file_issues = (
            ([], [text]) if isinstance(text, ConfigIssue) else read_csv(text, as_csv.name, columns(providers))
        )
        issues += file_issues
        rows += [_row(node, as_csv.name, issues) for node in nodes]
    issues += _repeated_keys(rows)
    issues += reused_names(
        [(row.scope, row.was) for row in rows],
        {row.key for row in rows},
        kind="video",
        still="is the key of a video of the catalogue still",
        hint="Write was: in the one entry that goes on under a new key; to buy the same again, write again: true.",
    )
    return rows, issues, as_yaml if is_there(as_yaml) else as_csv, defaults


def _row(node: Node, file: str, issues: list[ConfigIssue]) -> Row:
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
    issues += row_issues
    invalid = {issue.field for issue in row_issues}
    return Row(
        scope,
        key=None if "key" in invalid or not node.is_mapping else name_in(key),
        account=None if "account" in invalid else name_in(account),
        is_branch=is_branch,
        branch_of=None if "source.branch_of" in invalid else branch_of,
        branch=branch,
        was=None if entry is None else entry.was,
        again=entry is not None and entry.again,
    )


def name_in(node: Node | None) -> str | None:
    """Return the normal form of a name that is written; None if there is no text."""
    return None if node is None or node.text is None else normal_name(node.text)


def _repeated_keys(rows: list[Row]) -> Iterator[ConfigIssue]:
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
