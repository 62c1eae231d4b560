"""Reads catalog.yaml and catalog.csv into located entries, before their providers are known."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from extend_pipeline.base.names import normal_name
from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.files.csv import read_csv
from extend_pipeline.config.files.located import Node
from extend_pipeline.config.files.text import is_there, missing, read_text
from extend_pipeline.config.files.translate import Scope, no_signed_url
from extend_pipeline.config.files.yaml import read_yaml
from extend_pipeline.config.issues import ConfigIssue, did_you_mean
from extend_pipeline.config.model.catalogue import BranchSource, Entry
from extend_pipeline.config.model.changes import CatalogueDefaults
from extend_pipeline.config.model.provider import Providers, columns


@dataclass(frozen=True)
class Row:
    """One entry as far as it could be read; `key`, `account`, `branch_of`, `was` are None where missing or wrong."""

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
    """Return the items of the list `root` of a YAML file, what is wrong, and the whole file's node where it is a set of
    fields. It may have the fields `beside` the list; those that begin with `x-` are free, for anchors."""
    text = read_text(path)
    if isinstance(text, ConfigIssue):
        return [], [text], None
    tree, problems = read_yaml(text, path.name)

    def problem(line: int, field: str | None, message: str, hint: str) -> None:
        problems.append(ConfigIssue(path.name, line, None, field, None, message, hint))

    if tree is None or tree.value is None:
        if not problems:
            problem(1, None, "the file is empty", "`extend-pipeline init` writes an example.")
        return [], problems, None
    if not tree.is_mapping:
        problem(tree.line, None, "the file is not a set of fields", f"Begin it with {root}: and a list below.")
        return [], problems, None
    known = [root, *beside]
    for name, (line, _) in tree.children.items():
        if name not in known and not str(name).startswith("x-"):
            problem(line, str(name), "is not a known field here", did_you_mean(str(name), known, label="Known here"))
    found = tree.children.get(root)
    if found is None:
        problem(tree.line, root, "is missing", f"Write {root}: and a list below.")
        return [], problems, tree
    line, items = found
    if not items.is_sequence and items.value is not None:
        problem(line, root, "is not a list", 'Begin each entry with "- ".')
        return [], problems, tree
    nodes = [item for _, item in items.children.values()]
    return nodes, _with_subjects(problems, nodes), tree


def read_rows(home: Path, providers: Providers) -> tuple[list[Row], list[ConfigIssue], Path, CatalogueDefaults]:
    """Return all entries of both catalogue files, what is wrong with their outer shape, the file that was read first,
    and what catalog.yaml says for all of them."""
    as_yaml, as_csv = home / "catalog.yaml", home / "catalog.csv"
    rows: list[Row] = []
    problems: list[ConfigIssue] = []
    defaults = CatalogueDefaults()
    if not is_there(as_yaml) and not is_there(as_csv):
        misnamed = ("catalog.yml", "catalogue.yaml", "catalogue.yml", "catalogue.csv")
        return [], [missing(as_yaml, what="catalogue", misnamed=misnamed)], as_yaml, defaults
    if is_there(as_yaml):
        nodes, found, tree = read_list(as_yaml, "videos", beside=("defaults",))
        problems += found
        written = None if tree is None else tree.child("defaults")
        if written is not None and written.value is not None:
            known, found = Scope(as_yaml.name, written, None, no_signed_url).read(CatalogueDefaults)
            problems += [replace(problem, field=f"defaults.{problem.field}") for problem in found]
            defaults = known or defaults
        rows += [_row(node, as_yaml.name, problems) for node in nodes]
    if is_there(as_csv):
        text = read_text(as_csv)
        nodes, found = (
            ([], [text]) if isinstance(text, ConfigIssue) else read_csv(text, as_csv.name, columns(providers))
        )
        problems += found
        rows += [_row(node, as_csv.name, problems) for node in nodes]
    problems += _twice(rows)
    problems += _renamed(rows)
    return rows, problems, as_yaml if is_there(as_yaml) else as_csv, defaults


def _row(node: Node, file: str, problems: list[ConfigIssue]) -> Row:
    key = node.child("key")
    scope = Scope(file, node, _name_in(key), no_signed_url)
    entry, found = scope.read(Entry)
    problems += found
    wrong = {each.field for each in found}
    account = node.child("account")
    source = node.child("source")
    is_branch = source is not None and source.is_mapping and bool(source.children.keys() & {"branch_of", "hop"})
    branch = None
    if is_branch:
        branch, found = scope.read(BranchSource, "source")
        problems += found
        wrong |= {each.field for each in found}
    return Row(
        scope,
        key=None if "key" in wrong or not node.is_mapping else _name_in(key),
        account=None if "account" in wrong else _name_in(account),
        is_branch=is_branch,
        branch_of=_branch_of(scope, wrong) if is_branch else None,
        branch=branch,
        was=None if entry is None else entry.was,
        again=entry is not None and entry.again,
    )


def _branch_of(scope: Scope, wrong: set[str | None]) -> str | None:
    parent = (scope.node.child("source") or scope.node).child("branch_of")
    return None if "source.branch_of" in wrong else _name_in(parent)


def _name_in(node: Node | None) -> str | None:
    return None if node is None or node.text is None else normal_name(node.text)


def _twice(rows: list[Row]) -> list[ConfigIssue]:
    first: dict[str, Row] = {}
    problems = []
    for row in rows:
        if row.key is None:
            continue
        before = first.setdefault(row.key, row)
        if before is not row:
            where = f"{before.scope.file}:{before.scope.node.line}"
            problems.append(
                row.scope.problem(FieldIssue(("key",), f"is the key of {where} too", "Give each video its own key."))
            )
    return problems


def _renamed(rows: list[Row]) -> list[ConfigIssue]:
    """Return what can't hold of names that videos had before: a name is one video's, now or before."""
    now = {row.key for row in rows}
    before: dict[str, Row] = {}
    problems = []
    for row in rows:
        if row.was is None:
            continue
        message = ""
        if row.was in now:
            message = "is the key of a video of the catalogue still"
        elif before.setdefault(row.was, row) is not row:
            message = f"is what video {before[row.was].key} says that it was, too"
        if message:
            hint = "Write was: in the one entry that goes on under a new key; to buy the same again, write again: true."
            problems.append(row.scope.problem(FieldIssue(("was",), message, hint)))
    return problems


def _with_subjects(problems: list[ConfigIssue], nodes: list[Node]) -> list[ConfigIssue]:
    """Mistakes of the syntax, with the key of the entry that each stands in."""
    lines = [node.line for node in nodes]
    if lines != sorted(lines):  # aliases stand where they were first written
        return problems
    told = []
    for problem in problems:
        position = bisect.bisect_right(lines, problem.line or 0) - 1
        key = None if position < 0 else nodes[position].child("key") or nodes[position].child("name")
        told.append(problem if key is None else replace(problem, subject=_name_in(key)))
    return told
