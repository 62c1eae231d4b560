"""The catalogue's entries as the ledger stores them, and what of the catalogue the ledger may not have yet."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection

from extend_pipeline.base.units import to_ms
from extend_pipeline.config.digest import digest
from extend_pipeline.config.load import Configuration
from extend_pipeline.config.model.catalogue import BranchSource, Video, root_source
from extend_pipeline.config.model.target import LIMITS
from extend_pipeline.engine.home import Pipeline
from extend_pipeline.engine.plan import chain
from extend_pipeline.engine.plan.goal import goal_of
from extend_pipeline.ledger.read.rows import VideoRow
from extend_pipeline.ledger.write import catalog_sync, renames_and_choices
from extend_pipeline.ledger.write.catalog_sync import Declaration, LastDeclared
from extend_pipeline.ledger.write.renames_and_choices import Renames
from extend_pipeline.providers.registry import spec_of

_LIMITS: Final = set(LIMITS)


def declarations(configuration: Configuration, keys: Collection[str] | None = None) -> list[Declaration]:
    """Return the catalogue as the ledger stores it: all of it, or the entries with these keys."""
    catalogue = configuration.catalogue
    videos = catalogue.each() if keys is None else catalogue.of(keys)
    return [_declaration(video, configuration) for video in videos]


def _declaration(video: Video, configuration: Configuration) -> Declaration:
    catalogue = configuration.catalogue.videos
    source = root_source(video, catalogue)
    branch = video.source if isinstance(video.source, BranchSource) else None
    created = None if source.created_at is None else to_ms(source.created_at)
    life = spec_of(video.provider).source_life_ms
    limits = goal_of(video, configuration.accounts[video.account]).limits
    own = video.source.model_dump(mode="json")
    meaning = {
        "account": video.account,
        "source": own,
        "extend": video.extend.model_dump(mode="json", exclude=_LIMITS),
        "root": own if source is video.source else source.model_dump(mode="json"),
        # the start of a branch changes with the prompts of the videos above it
        "start": chain.digests(video, 0, videos=catalogue)[-1],
        # only when they differ from the defaults, so that entries from before they existed keep their digests
        **({"limits": limits} if limits else {}),
    }
    return Declaration(
        video_key=video.key,
        account=video.account,
        provider=video.provider,
        definition_digest=digest(meaning),
        source_video_id=source.source_id,
        branch_of=branch.branch_of if branch else None,
        branch_hop=branch.hop if branch else None,
        model=getattr(source, "model", None),
        mode=source.mode,
        source_created_at=created,
        extendable_until=None if created is None or life is None else created + life,
        source_duration_ms=source.duration_ms,
        target_ms=video.extend.to_ms,
        target_steps=video.extend.steps,
        was=video.was,
    )


def pending_renames(pipeline: Pipeline, connection: Connection) -> Renames:
    """Return the renamings in the files that the ledger doesn't have yet."""
    videos = pipeline.configuration.catalogue.renamed()
    accounts = {name: account.was for name, account in pipeline.accounts.items() if account.was is not None}
    return renames_and_choices.pending_renames(connection, videos=videos, accounts=accounts)


def may_differ(pipeline: Pipeline, last: LastDeclared | None, renames: Renames) -> frozenset[str] | None:
    """Return the keys of the videos whose entries can differ from the ledger's rows: none if this catalogue was
    declared last, those that were edited since then if that is known, else None for all."""
    catalogue = pipeline.configuration.catalogue
    if last is None or not catalogue.digest or renames.accounts or renames.unknown:
        return None
    edited = frozenset[str]()
    if last.digest != catalogue.digest:
        if catalogue.change is None or catalogue.change.since != last.digest:
            return None
        edited = catalogue.change.keys
    return edited if edited.issuperset(renames.videos) else None


def with_own_entries(pipeline: Pipeline, connection: Connection, rows: Collection[VideoRow]) -> set[str]:
    """Return the keys of those videos whose entry is the same in this catalogue and in the ledger. Of another entry,
    which a machine has edited and this one has not pulled, or which is another home's, this home has no say."""
    keys = {row.video_key for row in rows}
    last = catalog_sync.last_declared(connection) if keys else None
    if not keys or (last is not None and last.digest == pipeline.configuration.catalogue.digest):
        return keys
    own = {entry.video_key: entry.definition_digest for entry in declarations(pipeline.configuration, keys)}
    return {row.video_key for row in rows if own.get(row.video_key) == row.definition_digest}
