"""Doctor's checks of what may cause trouble later: the home's disk, the owner of its files, names that differ by case
alone, and another version of the program."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from extend_pipeline.base.version import program_version
from extend_pipeline.base.wording import first_names
from extend_pipeline.commands.doctor.diagnostics import Finding, ok, problem, warning
from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger.address import AddressError, parse_address
from extend_pipeline.media.stores import open_store

Mount = tuple[str, str]
"""A mount point, and the type of its file system."""

NETWORK: Final = frozenset(
    {"9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "gpfs", "lustre", "nfs", "nfs3", "nfs4", "smb2"}
    | {"smb3", "smbfs", "webdav", "vboxsf", "vmhgfs", "prl_fs", "osxfs", "drvfs", "virtiofs", "gfs2", "ocfs2"}
)
"""Types of network file systems, and of those that a virtual machine shares with its host. They don't guarantee file
locks and the order of writes, on which SQLite relies (sqlite.org/howtocorrupt.html, 2.1)."""
NETWORK_FUSE: Final = ("sshfs", "s3fs", "goofys", "gcsfuse", "rclone", "glusterfs", "grpcfuse", "mount-s3", "vmhgfs")
SYNCHRONISED: Final = re.compile(
    r"(dropbox|onedrive|google ?drive|icloud ?drive|mobile documents|nextcloud)( .*|-[^/]*@[^/]*)?", re.IGNORECASE
)
"""Names of folders that a synchronising program copies between machines."""
CONFIGURATION: Final = ("accounts.yaml", "catalog.yaml", "catalog.csv", "catalog")
MAX_NAMED: Final = 10


def check_place(settings: Settings, mounts: Sequence[Mount]) -> Finding:
    """Return whether a ledger in SQLite is on a local disk, because elsewhere locks may fail or old files return."""
    folder = sqlite_folder(settings)
    if folder is None:
        return ok("place", "the ledger is no file of this machine")
    todo = (
        "keep the home on a disk of this machine (films may lie anywhere: EXTEND_PIPELINE_MEDIA_URL), or move the "
        "ledger: extend-pipeline ledger copy --to postgresql://…"
    )
    if is_network(kind := kind_of(folder, mounts)):
        return warning("place", f"{folder} is another machine's disk ({kind}), where a ledger in SQLite breaks", todo)
    if (name := synchronised(folder)) is not None:
        message = f"{folder} is copied from machine to machine ({name}), which can bring an old ledger back"
        return warning("place", message, todo)
    return ok("place", f"{folder} lies on a disk of this machine")


def sqlite_folder(settings: Settings) -> Path | None:
    """Return the folder of a ledger in SQLite; None if it is on a server, or if its address is invalid, because opening
    the ledger reports that."""
    try:
        address = parse_address(settings.ledger_url)
    except (AddressError, SQLAlchemyError):
        return None
    return Path(address.database or "").parent if address.get_backend_name() == "sqlite" else None


def mounted() -> list[Mount]:
    """Return the file systems of this machine."""
    import psutil

    return [(partition.mountpoint, partition.fstype) for partition in psutil.disk_partitions(all=True)]


def kind_of(folder: Path, mounts: Sequence[Mount]) -> str:
    """Return the type of file system of a folder, which need not exist yet; empty if it is unknown."""
    real = folder.resolve()
    candidates = [(len(Path(place).parts), kind) for place, kind in mounts if real.is_relative_to(place)]
    # of two mounts at the same place, the later one hides the earlier
    return max(reversed(candidates), key=lambda candidate: candidate[0], default=(0, ""))[1]


def is_network(kind: str) -> bool:
    """Return whether a type of file system is a network's."""
    kind = kind.lower()
    return kind in NETWORK or (kind.startswith("fuse") and any(name in kind for name in NETWORK_FUSE))


def synchronised(folder: Path) -> str | None:
    """Return the part of a path that names a synchronised folder; None without one."""
    parts = folder.resolve().parts
    return next((part for part in parts if SYNCHRONISED.fullmatch(part)), None)


def check_rights(settings: Settings) -> Iterator[Finding]:
    """Yield a problem for paths that this user may not write, as after a command that was run as root."""
    denied = [path for path in dict.fromkeys(_paths(settings)) if not os.access(path, os.W_OK)]
    if denied:
        todo = f"make them this user's, such as: sudo chown -R {os.getuid()} {denied[0]}"
        yield problem("rights", f"this user may not write {first_names(denied, MAX_NAMED)}", todo)


def _paths(settings: Settings) -> Iterator[Path]:
    """Yield the state folder, its entries, and the folders of the media store, without the films in them."""
    if not settings.state_dir.is_dir():
        return
    yield settings.state_dir
    with suppress(OSError), os.scandir(settings.state_dir) as entries:
        yield from (Path(entry.path) for entry in entries if not entry.is_symlink())
    yield from (folder for folder in open_store(settings).folders() if folder.is_dir())


def check_names(settings: Settings, keys: Iterable[str], accounts: Iterable[str]) -> Iterator[Finding]:
    """Yield warnings for names that differ by case alone: files of the home, videos and accounts."""
    try:
        files = sorted(entry.name for entry in os.scandir(settings.home))
    except OSError:
        files = []
    correct_names = {name.lower(): name for name in CONFIGURATION}
    for name in files:
        correct = correct_names.get(name.lower(), name)
        if correct != name:
            beside = f", and {correct} is read beside it" if correct in files else ""
            message = f"{settings.home / name} is not read on systems with case-sensitive file names{beside}"
            yield warning("names", message, f"rename it to {correct}, or remove it")
    for label, names in (("videos", keys), ("accounts", accounts)):
        groups = defaultdict(list)
        for name in names:
            groups[name.lower()].append(name)
        for group in groups.values():
            if len(group) > 1:
                message = f"{label} {' and '.join(sorted(group))} differ by case alone"
                yield warning("names", message, "rename one: spreadsheets and some file systems ignore case")


def check_version(program: str | None) -> Finding | None:
    """Return a warning if another version of this program was the last to write to the ledger."""
    if program is None or program == program_version():
        return None
    message = f"extend_pipeline {program} works with this ledger, too; this is {program_version()}"
    return warning("ledger", message, "run the same version, the newer one, on each machine that uses this ledger")
