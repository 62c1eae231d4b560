"""A real PgBouncer before the tests' PostgreSQL, where this machine has the program (PyPI has none)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy.engine import make_url

from extend_pipeline_tests.support.servers.ports import free_port

PROGRAM: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
needs_pgbouncer: Final = pytest.mark.skipif(PROGRAM is None, reason="no pgbouncer on this machine (Debian: pgbouncer)")
USER: Final = "ann"
PASSWORD: Final = "p@ss/w:rd"  # needs escaping in an address, which people forget


@contextmanager
def pgbouncer(folder: Path, server_url: str, *, mode: str) -> Iterator[int]:
    """Run a PgBouncer before the database server of an address; yield its port. One server connection per database
    makes every transaction meet the session state that the one before left behind."""
    assert PROGRAM is not None
    url = make_url(server_url)
    host = str(url.query.get("host", url.host))
    port = free_port()
    (folder / "users.txt").write_text(f'"{USER}" "{PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""
[databases]
* = host={host} port={url.port or 5432} user={url.username}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = {mode}
default_pool_size = 1
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""
    )
    command = [PROGRAM, str(folder / "pgbouncer.ini")]
    if os.geteuid() == 0:  # PgBouncer refuses to be root; the server accepts its owner
        owner = Path(host).owner() if host.startswith("/") else "nobody"
        shutil.chown(folder, owner)
        for path in folder.iterdir():
            shutil.chown(path, owner)
        command[1:1] = ["-u", owner]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until_it_listens(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, "pgbouncer ended"
            assert time.monotonic() < deadline, "pgbouncer doesn't listen"
            time.sleep(0.02)
        else:
            return
