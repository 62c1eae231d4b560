"""From written entries to checked videos: accounts, branches, lengths, and what a provider would refuse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from extend_pipeline.config.checks.branches import topological_order
from extend_pipeline.config.checks.field_issues import FieldIssue
from extend_pipeline.config.checks.lengths import Length, after_hops, default_complaints, length_complaints
from extend_pipeline.config.checks.times import future_complaints, time_notes
from extend_pipeline.config.fields.images import FrameFolder
from extend_pipeline.config.files.entries import Row
from extend_pipeline.config.issues import ConfigIssue, Suggestions
from extend_pipeline.config.model.account import Account
from extend_pipeline.config.model.catalogue import BranchSource, Catalogue, Video
from extend_pipeline.config.model.provider import ProviderConfig, Providers, by_name, owners
from extend_pipeline.config.model.source import Source
from extend_pipeline.config.model.target import Target


@dataclass(frozen=True)
class AccountBook:
    """What is known of the accounts: the sound ones, and the provider that each name in the file claims, sound or not.

    `readable` is False where accounts.yaml could not be read at all: then no account is called unknown.
    """

    accounts: Mapping[str, Account]
    claimed: Mapping[str, str]
    readable: bool
    providers: Providers

    def provider_of(self, account: str | None) -> ProviderConfig | None:
        """Return the provider whose fields an entry should have; a guess where the account is unknown and one is
        possible."""
        providers = by_name(self.providers)
        claimed = self.claimed.get(account or "")
        if claimed is not None:
            return providers.get(claimed)
        possible = (set(self.claimed.values()) & providers.keys()) or set(providers)
        return providers.get(possible.pop()) if len(possible) == 1 else None


@dataclass(frozen=True)
class Use:
    """A video's use of an account: its mode and the parameters of its hops, as far as prices depend on them. None where
    they could not be read, and `mode` also where the provider has none."""

    key: str
    account: str
    mode: str | None
    params: Mapping[str, object] | None


@dataclass(frozen=True)
class _Read:
    """What could be read of a row: None where it was wrong."""

    row: Row
    account: str | None
    source: Source | BranchSource | None
    extend: Target | None
    root: Source | None = None
    start: Length | None = None


@dataclass(frozen=True)
class _Given:
    """What all rows are read by."""

    book: AccountBook
    known: Suggestions
    frames: FrameFolder
    now: datetime


def build_catalogue(
    rows: Sequence[Row], book: AccountBook, *, path: Path, now: datetime
) -> tuple[Catalogue, list[Use], list[ConfigIssue]]:
    """Return the catalogue of all sound rows, who uses which account, and what is wrong.

    `now` is aware; images that are named by a path are looked for beside `path`.
    """
    keyed: dict[str, Row] = {}
    for row in rows:
        if row.key is not None:
            keyed.setdefault(row.key, row)
    forest = topological_order({key: row.branch_of for key, row in keyed.items()})
    problems = list(_branch_problems(rows, keyed, forest.circles))
    read: dict[str, _Read] = {}
    given = _Given(book, Suggestions(book.claimed), FrameFolder(path.parent), now)
    # parents before their branches, then what has no sound key or parent, which is checked by itself
    in_order = [keyed[key] for key in forest.order]
    told = {id(row) for row in in_order}
    for row in [*in_order, *(row for row in rows if id(row) not in told)]:
        parent = None if row.branch_of is None else read.get(row.branch_of)
        result, found = _read(row, parent, given)
        problems += found
        if row.key is not None and keyed[row.key] is row:
            read[row.key] = result
    sound: dict[str, Video] = {}
    for key in forest.order:
        video = _video(read[key], book)
        if video is not None and (not isinstance(video.source, BranchSource) or video.source.branch_of in sound):
            sound[key] = video
    uses = [
        Use(
            key,
            each.account,
            None if each.root is None else each.root.mode,
            None if each.extend is None else each.extend.hop_params(1),
        )
        for key, each in read.items()
        if each.account is not None
    ]
    made = [
        (one.row, one.source.created_at)
        for one in read.values()
        if one.source is not None and not isinstance(one.source, BranchSource)
    ]
    notes = tuple(time_notes(made, now=now))
    return Catalogue({key: sound[key] for key in keyed if key in sound}, path, notes=notes), uses, problems


def _read(row: Row, parent: _Read | None, given: _Given) -> tuple[_Read, list[ConfigIssue]]:
    scope, book, complaints = row.scope, given.book, list[FieldIssue]()
    account = row.account
    if row.is_branch:
        if parent is not None and parent.account is not None:
            if account is not None and account != parent.account:
                complaints.append(_other_account(parent))
            account = parent.account
    elif account is None and scope.node.is_mapping and scope.node.child("account") is None:
        example = next(iter(book.claimed), "kling-main")
        complaints.append(FieldIssue(("account",), "is missing", f"Write account: {example}"))
    if row.account is not None and parent is None and book.readable and row.account not in book.claimed:
        near = given.known.nearest(row.account)
        hint = f'Did you mean "{near}"?' if near else "Add it to accounts.yaml."
        complaints.append(FieldIssue(("account",), "is no account of accounts.yaml", hint))
    provider = book.provider_of(account)
    source: Source | BranchSource | None = row.branch
    extend: Target | None = None
    problems: list[ConfigIssue] = []
    if provider is not None and _has(row, "extend"):
        extend, found = scope.read(
            provider.extend, "extend", context=given.frames, owners=owners(book.providers, "extend")
        )
        problems += found
    if provider is not None and not row.is_branch and _has(row, "source"):
        source, found = scope.read(provider.source, "source", owners=owners(book.providers, "source"))
        problems += found
    root, start = _start(source, parent, provider)
    if provider is not None:
        if isinstance(source, BranchSource) and parent is not None:
            complaints += _hop_complaints(source, parent)
        if start is not None and extend is not None:
            complaints += length_complaints(start, extend, provider)
        own = None if isinstance(source, BranchSource) else source
        sound = book.accounts.get(account or "")
        if extend is not None and sound is not None:
            complaints += default_complaints(extend, sound)
        complaints += provider.check(source=own, root=root, extend=extend, account=sound)
        if own is not None:
            complaints += future_complaints(own.created_at, now=given.now)
    problems += [scope.problem(complaint) for complaint in complaints]
    return _Read(row, account, source, extend, root, start), problems


def _has(row: Row, field: str) -> bool:
    node = row.scope.node.child(field)
    return node is not None and node.is_mapping


def _start(
    source: Source | BranchSource | None, parent: _Read | None, provider: ProviderConfig | None
) -> tuple[Source | None, Length | None]:
    if source is None:
        return None, None
    if not isinstance(source, BranchSource):
        length = source.duration_ms
        return source, None if length is None else Length(length, length)
    if parent is None or parent.start is None or provider is None:
        return (None if parent is None else parent.root), None
    return parent.root, after_hops(parent.start, source.hop, parent.extend, provider)


def _other_account(parent: _Read) -> FieldIssue:
    return FieldIssue(
        ("account",),
        f"is not the account of {parent.row.key}, which it branches off ({parent.account})",
        "A video can be extended only by the account that made it; leave account out.",
    )


def _hop_complaints(source: BranchSource, parent: _Read) -> Iterator[FieldIssue]:
    steps = None if parent.extend is None else parent.extend.steps
    if steps is not None and source.hop > steps:
        yield FieldIssue(
            ("source", "hop"),
            f"is more than {source.branch_of} will have (steps: {steps})",
            f"Give a hop from 1 to {steps}, or {source.branch_of} more steps.",
        )


def _branch_problems(
    rows: Sequence[Row], keyed: Mapping[str, Row], circles: Sequence[Sequence[str]]
) -> Iterator[ConfigIssue]:
    known = Suggestions(keyed)
    for row in rows:
        if row.branch_of is not None and row.branch_of not in keyed:
            near = known.nearest(row.branch_of)
            hint = f'Did you mean "{near}"?' if near else "Give the key of another video."
            yield row.scope.problem(FieldIssue(("source", "branch_of"), "is no video of the catalogue", hint))
    for circle in circles:
        shown = " → ".join([*circle[:6], "…"] if len(circle) > 6 else [*circle, circle[0]])
        yield keyed[circle[0]].scope.problem(
            FieldIssue(
                ("source", "branch_of"),
                f"runs in a circle: {shown}",
                "One of them must have a source of its own.",
            )
        )


def _video(read: _Read, book: AccountBook) -> Video | None:
    provider = book.provider_of(read.account)
    key, account, source, extend = read.row.key, read.account, read.source, read.extend
    if key is None or account is None or source is None or extend is None or provider is None:
        return None
    scope = read.row.scope
    return Video(
        key,
        account,
        provider.name,
        source,
        extend,
        file=scope.file,
        line=scope.node.line,
        was=read.row.was,
        again=read.row.again,
    )
