"""Turn rows into checked videos: accounts, branches, lengths, and the providers' own rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from extend_pipeline.config.checks.branches import topological_order
from extend_pipeline.config.checks.lengths import Length, account_limit_issues, after_hops, length_issues
from extend_pipeline.config.checks.spending import Use
from extend_pipeline.config.checks.times import future_issues
from extend_pipeline.config.fields.images import FrameFolder
from extend_pipeline.config.files.accounts import AccountList
from extend_pipeline.config.files.entries import Row
from extend_pipeline.config.issues import ConfigIssue, FieldIssue, Suggestions
from extend_pipeline.config.model.catalogue import BranchSource, Video
from extend_pipeline.config.model.provider import ProviderConfig, owners
from extend_pipeline.config.model.source import Source
from extend_pipeline.config.model.target import Target


@dataclass(frozen=True)
class _ReadRow:
    """What could be read of a row; None for what was invalid. `root` is the source that a branch leads back to, `start`
    the length of the row's source."""

    row: Row
    account: str | None
    source: Source | BranchSource | None
    extend: Target | None
    root: Source | None = None
    start: Length | None = None


@dataclass(frozen=True)
class _Context:
    """What every row is checked with."""

    accounts: AccountList
    suggestions: Suggestions
    frames: Callable[[str], FrameFolder]
    now: datetime


@dataclass(frozen=True)
class Built:
    """The videos of all valid rows by key, in the order of the rows; the uses of accounts; the issues."""

    videos: Mapping[str, Video]
    uses: Sequence[Use]
    issues: Sequence[ConfigIssue]


def build_videos(
    rows: Sequence[Row], accounts: AccountList, *, frames: Callable[[str], FrameFolder], now: datetime
) -> Built:
    """Return the videos of rows, checked against accounts and each other.

    `now` is aware. `frames` returns the folder in which a file's images are searched for, by the file's name.
    """
    keyed: dict[str, Row] = {}
    for row in rows:
        if row.key is not None:
            keyed.setdefault(row.key, row)
    graph = topological_order({key: row.branch_of for key, row in keyed.items()})
    issues = list(_branch_issues(rows, keyed, graph.circles))
    context = _Context(accounts, Suggestions(accounts.provider_names), frames, now)
    read: dict[str, _ReadRow] = {}
    # parents before their branches; rows without a valid key or parent come last, because nothing depends on them
    in_order = [keyed[key] for key in graph.order]
    ordered_ids = {id(row) for row in in_order}
    for row in [*in_order, *(row for row in rows if id(row) not in ordered_ids)]:
        parent = None if row.branch_of is None else read.get(row.branch_of)
        read_row, row_issues = _read(row, parent, context)
        issues += row_issues
        if row.key is not None and keyed[row.key] is row:
            read[row.key] = read_row
    videos: dict[str, Video] = {}
    for key in graph.order:
        video = _video(read[key], accounts)
        if video is not None and (not isinstance(video.source, BranchSource) or video.source.branch_of in videos):
            videos[key] = video
    uses = [
        Use(
            key,
            read_row.account,
            None if read_row.root is None else read_row.root.mode,
            None if read_row.extend is None else read_row.extend.hop_params(1),
        )
        for key, read_row in read.items()
        if read_row.account is not None
    ]
    return Built({key: videos[key] for key in keyed if key in videos}, uses, issues)


def _read(row: Row, parent: _ReadRow | None, context: _Context) -> tuple[_ReadRow, list[ConfigIssue]]:
    scope, accounts, field_issues = row.scope, context.accounts, list[FieldIssue]()
    name = row.account
    if row.is_branch:
        if parent is not None and parent.account is not None:
            if name is not None and name != parent.account:
                field_issues.append(_other_account(parent))
            name = parent.account
    elif name is None and scope.node.is_mapping and scope.node.child("account") is None:
        example = next(iter(accounts.provider_names), "kling-main")
        field_issues.append(FieldIssue(("account",), "is missing", f"Write account: {example}"))
    if row.account is not None and parent is None and accounts.readable and row.account not in accounts.provider_names:
        hint = context.suggestions.hint(row.account, "Add it to accounts.yaml.")
        field_issues.append(FieldIssue(("account",), "is no account of accounts.yaml", hint))
    provider = accounts.provider_of(name)
    source: Source | BranchSource | None = row.branch
    extend: Target | None = None
    issues: list[ConfigIssue] = []
    if provider is not None and _has(row, "extend"):
        extend, extend_issues = scope.read(
            provider.extend, "extend", context=context.frames(scope.file), owners=owners(accounts.providers, "extend")
        )
        issues += extend_issues
    if provider is not None and not row.is_branch and _has(row, "source"):
        source, source_issues = scope.read(provider.source, "source", owners=owners(accounts.providers, "source"))
        issues += source_issues
    root, start = _start(source, parent, provider)
    if provider is not None:
        if isinstance(source, BranchSource) and parent is not None:
            field_issues += _hop_issues(source, parent)
        if start is not None and extend is not None:
            field_issues += length_issues(start, extend, provider)
        own = None if isinstance(source, BranchSource) else source
        account = accounts.accounts.get(name or "")
        if extend is not None and account is not None:
            field_issues += account_limit_issues(extend, account)
        field_issues += provider.check(source=own, root=root, extend=extend, account=account)
        if own is not None:
            field_issues += future_issues(own.created_at, now=context.now)
    issues += [scope.issue(issue) for issue in field_issues]
    return _ReadRow(row, name, source, extend, root, start), issues


def _has(row: Row, field: str) -> bool:
    node = row.scope.node.child(field)
    return node is not None and node.is_mapping


def _start(
    source: Source | BranchSource | None, parent: _ReadRow | None, provider: ProviderConfig | None
) -> tuple[Source | None, Length | None]:
    if source is None:
        return None, None
    if not isinstance(source, BranchSource):
        length = source.duration_ms
        return source, None if length is None else Length(length, length)
    if parent is None or parent.start is None or provider is None:
        return (None if parent is None else parent.root), None
    return parent.root, after_hops(parent.start, source.hop, parent.extend, provider)


def _other_account(parent: _ReadRow) -> FieldIssue:
    return FieldIssue(
        ("account",),
        f"is not the account of {parent.row.key}, which it branches off ({parent.account})",
        "A video can be extended only by the account that made it; leave account out.",
    )


def _hop_issues(source: BranchSource, parent: _ReadRow) -> Iterator[FieldIssue]:
    steps = None if parent.extend is None else parent.extend.steps
    if steps is not None and source.hop > steps:
        yield FieldIssue(
            ("source", "hop"),
            f"is more than {source.branch_of} will have (steps: {steps})",
            f"Give a hop from 1 to {steps}, or {source.branch_of} more steps.",
        )


def _branch_issues(
    rows: Sequence[Row], keyed: Mapping[str, Row], circles: Sequence[Sequence[str]]
) -> Iterator[ConfigIssue]:
    suggestions = Suggestions(keyed)
    for row in rows:
        if row.branch_of is not None and row.branch_of not in keyed:
            hint = suggestions.hint(row.branch_of, "Give the key of another video.")
            yield row.scope.issue(FieldIssue(("source", "branch_of"), "is no video of the catalogue", hint))
    for circle in circles:
        path = " → ".join([*circle[:6], "…"] if len(circle) > 6 else [*circle, circle[0]])
        hint = "One of them must have a source of its own."
        yield keyed[circle[0]].scope.issue(FieldIssue(("source", "branch_of"), f"runs in a circle: {path}", hint))


def _video(read_row: _ReadRow, accounts: AccountList) -> Video | None:
    row, account, source, extend = read_row.row, read_row.account, read_row.source, read_row.extend
    provider = accounts.provider_of(account)
    if row.key is None or account is None or source is None or extend is None or provider is None:
        return None
    file, line = row.scope.file, row.scope.node.line
    return Video(row.key, account, provider.name, source, extend, file=file, line=line, was=row.was, again=row.again)
