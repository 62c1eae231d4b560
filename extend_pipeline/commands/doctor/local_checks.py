"""Doctor's checks of the ledger, the media folder, the disk, the warehouse and DAGSTER_HOME. They leave no file."""

import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Final

from sqlalchemy import text

from extend_pipeline.base.disk import nearest_existing, try_write
from extend_pipeline.base.wording import counted
from extend_pipeline.commands.doctor.diagnostics import Finding, Level, ok, problem, warning
from extend_pipeline.commands.doctor.machine_checks import check_version, sqlite_folder
from extend_pipeline.config.load import Configuration
from extend_pipeline.config.settings import Settings
from extend_pipeline.engine.guards.clock import describe_ahead
from extend_pipeline.engine.guards.disk_space import MAKE_ROOM, read_space, write_error
from extend_pipeline.engine.guards.ledger_look import look
from extend_pipeline.engine.guards.other_home import other_home
from extend_pipeline.engine.home import wall_ms
from extend_pipeline.ledger.clock import is_ahead
from extend_pipeline.ledger.database import Ledger, LedgerError, has_ledger, open_ledger
from extend_pipeline.ledger.identity import written_by
from extend_pipeline.ledger.projection.invariants import check_invariants
from extend_pipeline.ledger.read import queries
from extend_pipeline.media.stores import open_store

FEW_FREE: Final = 10  # times the space that must stay free: some hundred films of 20 to 50 MB, a night's work

MAX_VIOLATIONS: Final = 20  # violated invariants that are listed; the rest is counted


def check_ledger(configuration: Configuration) -> Iterator[Finding]:
    """Yield whether the ledger opens, its invariants hold, and it is this home's; a home may have none yet."""
    settings = configuration.settings
    if not has_ledger(settings.ledger_url):
        with (
            tempfile.TemporaryDirectory(prefix="extend-pipeline-") as folder,
            closing(open_ledger(f"sqlite:///{folder}/ledger.sqlite")) as empty,
        ):
            identity = _check_identity(configuration, empty)
        yield ok("ledger", "there is none yet; the first advance makes it") if identity.level is Level.OK else identity
        yield _check_folder("ledger", sqlite_folder(settings) or settings.state_dir)
        return
    try:
        ledger = open_ledger(settings.ledger_url)
    except LedgerError as error:
        yield problem("ledger", str(error), "see the message; nothing is submitted until it opens")
        return
    with closing(ledger):
        with ledger.read() as connection:
            seq = queries.head(connection)
            last_ms = queries.last_event_at(connection)
            program = written_by(connection)
        if (finding := check_version(program)) is not None:
            yield finding
        yield ok("ledger", f"{_describe_database(ledger)}, {counted(seq, 'event')}")
        if is_ahead(last_ms, now_ms := wall_ms()):
            yield warning("clock", describe_ahead((last_ms or 0) - now_ms), "check the clocks of all machines")
        violations = check_invariants(ledger)
        for violation in violations[:MAX_VIOLATIONS]:
            yield problem("ledger", violation, "pause, keep a copy of the ledger, and report this")
        if len(violations) > MAX_VIOLATIONS:
            more = counted(len(violations) - MAX_VIOLATIONS, "more violated invariant")
            yield problem("ledger", f"and {more}", "see above")
        if not violations:
            yield ok("ledger", "every invariant holds: charges match states, one live attempt a hop, nothing lost")
        yield check_warehouse(settings.warehouse_path, seq)
        yield _check_identity(configuration, ledger)


def _check_identity(configuration: Configuration, ledger: Ledger) -> Finding:
    """Return whether this home has worked with this ledger before, and no other home has its videos there."""
    verdict = look(configuration.settings, ledger)
    if not verdict.may_spend:
        return problem("ledger", verdict.message, verdict.todo)
    with ledger.read() as connection:
        other = other_home(configuration, connection, now_ms=wall_ms())
    if other is not None:
        return problem("ledger", other.message, other.todo)
    return ok("ledger", f"it is this home's ({verdict.kind.value.replace('_', ' ')})")


def check_media(settings: Settings) -> Iterator[Finding]:
    """Yield whether films can be written, whether only this user can read and write the folder, and whether the disks
    have enough space."""
    store = open_store(settings)
    for folder in islice(store.folders(), 1):
        found = _check_folder("media", folder)
        error = write_error(store) if found.level is Level.OK else None
        yield found if error is None else problem("media", str(error), "see above")
        if finding := _check_mode("media", folder):
            yield finding
    space = read_space(settings, store, awaited=_awaited(settings))
    if space.is_short:
        yield problem("disk", space.describe(), MAKE_ROOM)
    elif space.media_free is not None and space.media_free < FEW_FREE * space.needed:
        yield warning("disk", space.describe(), "make room soon")
    else:
        yield ok("disk", space.describe())


def _awaited(settings: Settings) -> int:
    """Return how many results are expected: paid for, or possibly so, and not fetched yet. 0 if the ledger can't be
    read, because check_ledger reports that."""
    if not has_ledger(settings.ledger_url):
        return 0
    try:
        ledger = open_ledger(settings.ledger_url)
    except LedgerError:
        return 0
    with closing(ledger), ledger.read() as connection:
        return queries.awaited(connection)


def check_warehouse(path: Path, seq: int) -> Finding:
    """Return whether the published warehouse holds every event of the ledger, up to event `seq`."""
    from extend_pipeline.warehouse.errors import OpenElsewhereError, WarehouseError
    from extend_pipeline.warehouse.read import meta

    try:
        published = meta(path)
    except OpenElsewhereError as error:
        return warning("warehouse", error.message, error.todo)
    except WarehouseError as error:
        return problem("warehouse", str(error), "extend-pipeline publish")
    if published is None:
        return warning("warehouse", "nothing has been published yet", "extend-pipeline publish")
    message = f"published {published.published_at:%Y-%m-%d %H:%M:%S} UTC at event {published.ledger_seq}"
    if (behind := seq - published.ledger_seq) < 0:
        todo = "check which ledger this home uses; if it was lost and made anew: extend-pipeline publish"
        return problem("warehouse", f"{message}, and the ledger has only {counted(seq, 'event')}", todo)
    if behind:
        return warning("warehouse", f"{message}, {counted(behind, 'event')} behind", "extend-pipeline publish")
    return ok("warehouse", message)


def check_dagster(environment: Mapping[str, str]) -> Finding:
    """Return whether DAGSTER_HOME is set, because without it Dagster loses its runs and partitions when it ends."""
    home = environment.get("DAGSTER_HOME", "")
    if not home:
        return warning("dagster", "DAGSTER_HOME is not set", "set it to a folder that lasts, if you use Dagster's UI")
    if not Path(home).is_absolute():
        return problem("dagster", f"DAGSTER_HOME={home} is not absolute", "Dagster needs an absolute path")
    if not Path(home).is_dir():
        return problem("dagster", f"DAGSTER_HOME={home} is not a folder", f"mkdir -m 700 -p {home}")
    return _check_mode("dagster", Path(home)) or ok("dagster", f"DAGSTER_HOME={home}")


def _describe_database(ledger: Ledger) -> str:
    with ledger.read() as connection:
        if ledger.dialect == "sqlite":
            version = connection.execute(text("SELECT sqlite_version()")).scalar_one()
            journal = connection.execute(text("PRAGMA journal_mode")).scalar_one()
            return f"SQLite {version}, journal {journal}"
        version = connection.execute(text("SHOW server_version")).scalar_one()
        return f"PostgreSQL {version}"


def _check_folder(check: str, folder: Path) -> Finding:
    """Return whether a folder can be written, or made in its nearest existing parent."""
    nearest = nearest_existing(folder)
    if not nearest.is_dir():
        return problem(check, f"{nearest} is not a folder, and must be one", "move it away")
    try:
        try_write(nearest)
    except OSError as error:
        return problem(check, f"{nearest} can't be written: {error.strerror or error}", "give this user the right to")
    later = "" if nearest == folder else f"; {folder} is made when it is needed"
    return ok(check, f"{nearest} can be written{later}")


def _check_mode(check: str, folder: Path) -> Finding | None:
    """Return a warning if other users can read or write a folder, because it holds prompts or films."""
    mode = stat.S_IMODE(folder.stat().st_mode) if folder.is_dir() else 0
    if not mode & 0o077:
        return None
    return warning(check, f"{folder} is open to other users (mode {mode:04o})", f"chmod 700 {folder}")
