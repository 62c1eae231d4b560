"""Doctor's checks of what will hurt later: where the home lies, whose its files are, names that machines take for one,
and another version of the program."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from extend_pipeline.base.version import program_version
from extend_pipeline.commands.doctor.diagnostics import Finding, ok, problem, warning
from extend_pipeline.config.settings import Settings
from extend_pipeline.ledger.address import AddressError, parse_address
from extend_pipeline.media.stores import open_store

Mount = tuple[str, str]
"""Where a file system is mounted, and its kind as the system names it."""

NETWORK: Final = frozenset(
    {"9p", "acfs", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "gpfs", "lustre", "nfs", "nfs3", "nfs4", "smb2"}
    | {"smb3", "smbfs", "webdav", "vboxsf", "vmhgfs", "prl_fs", "osxfs", "drvfs", "virtiofs", "gfs2", "ocfs2"}
)
"""Kinds of file systems of other machines, and of the host of a virtual one. Locks of files and the order of writes,
on which SQLite relies (sqlite.org/howtocorrupt.html, 2.1), don't hold on them."""
NETWORK_FUSE: Final = ("sshfs", "s3fs", "goofys", "gcsfuse", "rclone", "glusterfs", "grpcfuse", "mount-s3", "vmhgfs")
SYNCHRONISED: Final = re.compile(
    r"(dropbox|onedrive|google ?drive|icloud ?drive|mobile documents|nextcloud)( .*|-[^/]*@[^/]*)?", re.IGNORECASE
)
"""Folders that a program copies from machine to machine, behind the back of whoever writes them."""
CONFIGURATION: Final = ("accounts.yaml", "catalog.yaml", "catalog.csv")
MAX_NAMED: Final = 10


def check_place(settings: Settings, mounts: Sequence[Mount]) -> Finding:
    """Return whether a ledger in SQLite lies on a disk of this machine, where locks hold and nothing comes back."""
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
        told = f"{folder} is copied from machine to machine ({name}), which can bring an old ledger back"
        return warning("place", told, todo)
    return ok("place", f"{folder} lies on a disk of this machine")


def sqlite_folder(settings: Settings) -> Path | None:
    """Return the folder of a ledger in SQLite; None where it is a server's, or its address can't be read, which is told
    where it is opened."""
    try:
        address = parse_address(settings.ledger_url)
    except (AddressError, SQLAlchemyError):
        return None
    return Path(address.database or "").parent if address.get_backend_name() == "sqlite" else None


def mounted() -> list[Mount]:
    """Return the file systems of this machine."""
    import psutil

    return [(found.mountpoint, found.fstype) for found in psutil.disk_partitions(all=True)]


def kind_of(folder: Path, mounts: Sequence[Mount]) -> str:
    """Return the kind of file system that a folder lies on, or will; empty where the system doesn't tell."""
    real = folder.resolve()
    above = [(len(Path(place).parts), kind) for place, kind in mounts if real.is_relative_to(place)]
    # of two at the same place, the later one hides the earlier
    return max(reversed(above), key=lambda found: found[0], default=(0, ""))[1]


def is_network(kind: str) -> bool:
    """Return whether a kind of file system is another machine's."""
    kind = kind.lower()
    return kind in NETWORK or (kind.startswith("fuse") and any(name in kind for name in NETWORK_FUSE))


def synchronised(folder: Path) -> str | None:
    """Return the part of a path by which a folder is known to be synchronised; None where there is none."""
    parts = folder.resolve().parts
    return next((part for part in parts if SYNCHRONISED.fullmatch(part)), None)


def check_rights(settings: Settings) -> Iterator[Finding]:
    """Yield a problem for files of ours that this user may not write, as after a command that was run as root."""
    foreign = [path for path in dict.fromkeys(_ours(settings)) if not os.access(path, os.W_OK)]
    if foreign:
        named = ", ".join(map(str, foreign[:MAX_NAMED]))
        more = f" and {len(foreign) - MAX_NAMED} more" if len(foreign) > MAX_NAMED else ""
        todo = f"make them this user's, such as: sudo chown -R {os.getuid()} {foreign[0]}"
        yield problem("rights", f"this user may not write {named}{more}", todo)


def _ours(settings: Settings) -> Iterator[Path]:
    """Yield the state folder with what is in it, and the folders of the media store; not each film, and nothing else
    that lies on the same disk."""
    if not settings.state_dir.is_dir():
        return
    yield settings.state_dir
    with suppress(OSError), os.scandir(settings.state_dir) as found:
        yield from (Path(entry.path) for entry in found if not entry.is_symlink())
    yield from (folder for folder in open_store(settings).folders() if folder.is_dir())


def check_names(settings: Settings, keys: Iterable[str], accounts: Iterable[str]) -> Iterator[Finding]:
    """Yield names that only some machines tell apart: files of the home, videos and accounts."""
    try:
        files = sorted(entry.name for entry in os.scandir(settings.home))
    except OSError:
        files = []
    known = {name.lower(): name for name in CONFIGURATION}
    for name in files:
        wanted = known.get(name.lower(), name)
        if wanted != name:
            beside = f", and {wanted} is read beside it" if wanted in files else ""
            told = f"{settings.home / name} is not read where names of files tell case apart{beside}"
            yield warning("names", told, f"call it {wanted}, or remove it")
    for what, names in (("videos", keys), ("accounts", accounts)):
        alike = defaultdict(list)
        for name in names:
            alike[name.lower()].append(name)
        for group in alike.values():
            if len(group) > 1:
                told = f"{what} {' and '.join(sorted(group))} differ by case alone"
                yield warning("names", told, "spreadsheets, and files that you name after them, take them for one")


def check_version(program: str | None) -> Finding | None:
    """Return a warning where another version of this program was the last to note itself in the ledger."""
    if program is None or program == program_version():
        return None
    told = f"extend_pipeline {program} works with this ledger, too; this is {program_version()}"
    return warning("ledger", told, "run the same version, the newer one, on each machine that uses this ledger")
