"""A file is in the store whole or not at all, however its download ends."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from extend_pipeline.base.failpoints import ENVIRONMENT
from extend_pipeline.media.check.probe import InvalidFile, ValidFile, check_file
from extend_pipeline.media.local_store import LocalStore
from extend_pipeline.media.store import MediaRef, Stored
from extend_pipeline_tests.support.media.mp4 import make_clip
from extend_pipeline_tests.support.processes.another_user import as_another_user
from extend_pipeline_tests.support.user_texts import check_user_text

MOST = 10_000_000


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(tmp_path_factory.mktemp("films") / "film.mp4", seconds=2).read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "media")


def pieces(data: bytes, size: int = 4096) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def ingest(store: LocalStore, data: bytes) -> Stored | InvalidFile:
    return store.ingest(pieces(data), expected_bytes=len(data), max_bytes=MOST, check=check_file)


def files(store: LocalStore) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file())


def test_a_valid_film_is_stored_under_the_hash_of_its_bytes(store: LocalStore, film: bytes) -> None:
    stored = ingest(store, film)

    sha256 = hashlib.sha256(film).hexdigest()
    assert isinstance(stored, Stored)
    assert (stored.sha256, stored.bytes) == (sha256, len(film))
    assert stored.path == f"{sha256[:2]}/{sha256}.mp4"
    assert stored.probe.duration_ms == 2000
    assert (store.root / stored.path).read_bytes() == film
    assert files(store) == [stored.path]


def test_files_are_0600_and_folders_0700_with_any_umask(store: LocalStore, film: bytes) -> None:
    before = os.umask(0)
    try:
        stored = ingest(store, film)
        assert isinstance(stored, Stored)
        store.put_poster(stored.sha256, b"jpeg")
        ingest(store, b"<html>")
    finally:
        os.umask(before)

    modes = {path.stat().st_mode & 0o777 for path in store.root.rglob("*") if path.is_file()}
    folders = {path.stat().st_mode & 0o777 for path in (store.root, *store.root.rglob("*")) if path.is_dir()}
    assert modes == {0o600}
    assert folders == {0o700}


def test_the_same_bytes_again_are_the_same_file(store: LocalStore, film: bytes) -> None:
    first = ingest(store, film)
    assert isinstance(first, Stored)
    inode = (store.root / first.path).stat().st_ino

    assert ingest(store, film) == first
    assert (store.root / first.path).stat().st_ino == inode
    assert files(store) == [first.path]


def test_a_stored_file_that_was_cut_since_is_restored_by_the_same_bytes(store: LocalStore, film: bytes) -> None:
    first = ingest(store, film)
    assert isinstance(first, Stored)
    path = store.root / first.path
    path.write_bytes(film[:100])

    assert ingest(store, film) == first
    assert path.read_bytes() == film


def test_threads_may_store_the_same_bytes_at_once(store: LocalStore, film: bytes) -> None:
    outcomes: list[Stored | InvalidFile] = []
    start = threading.Barrier(8)

    def bring() -> None:
        start.wait()
        outcomes.append(ingest(store, film))

    threads = [threading.Thread(target=bring) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(outcomes) == 8
    assert len(set(outcomes)) == 1
    assert isinstance(outcomes[0], Stored)
    assert files(store) == [outcomes[0].path]


def test_a_download_that_breaks_off_leaves_nothing(store: LocalStore, film: bytes) -> None:
    def broken_off() -> Iterator[bytes]:
        yield film[:5000]
        raise ConnectionResetError("peer went away")

    with pytest.raises(ConnectionResetError):
        store.ingest(broken_off(), expected_bytes=len(film), max_bytes=MOST, check=check_file)

    assert files(store) == []


def test_a_check_that_raises_leaves_nothing(store: LocalStore, film: bytes) -> None:
    def check(path: Path) -> ValidFile:
        raise PermissionError(f"no access to {path.name}")

    with pytest.raises(PermissionError):
        store.ingest(pieces(film), expected_bytes=None, max_bytes=MOST, check=check)

    assert files(store) == []


def test_a_length_unlike_the_announced_one_is_refused_and_not_kept(store: LocalStore, film: bytes) -> None:
    for announced in (len(film) + 1, len(film) - 1):
        verdict = store.ingest(pieces(film), expected_bytes=announced, max_bytes=MOST, check=check_file)
        assert isinstance(verdict, InvalidFile)
        assert f"{announced:,}" in verdict.reason
        check_user_text(verdict.reason, without={f"{announced:,}": "ANNOUNCED", f"{len(film):,}": "CAME"})
    assert files(store) == []


def test_an_endless_download_is_stopped_at_the_limit(store: LocalStore) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1000)

    verdict = store.ingest(endless(), expected_bytes=None, max_bytes=10_500, check=check_file)

    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)
    assert taken == 11
    assert files(store) == []


def test_a_length_announced_above_the_limit_is_refused_before_a_byte_is_taken(store: LocalStore) -> None:
    chunks = iter([bytes(2_000)])

    verdict = store.ingest(chunks, expected_bytes=2_000, max_bytes=1_000, check=check_file)

    assert isinstance(verdict, InvalidFile)
    check_user_text(verdict.reason)
    assert len(list(chunks)) == 1


def test_an_empty_download_is_broken_and_not_kept(store: LocalStore) -> None:
    verdict = ingest(store, b"")
    assert isinstance(verdict, InvalidFile)
    assert (verdict.kept, verdict.sha256) == (None, None)
    check_user_text(verdict.reason)
    assert files(store) == []


def test_bytes_that_are_no_film_are_kept_as_evidence(store: LocalStore) -> None:
    page = b"<html>gone</html>"

    verdict = ingest(store, page)

    assert isinstance(verdict, InvalidFile)
    assert "web page" in verdict.reason
    assert verdict.sha256 == hashlib.sha256(page).hexdigest()
    assert verdict.kept is not None
    assert verdict.kept.startswith("quarantine/")
    assert (store.root / verdict.kept).read_bytes() == page
    assert files(store) == [verdict.kept]


def test_quarantine_keeps_the_largest_files_of_each_attempt_and_the_same_bytes_once(store: LocalStore) -> None:
    def bring(data: bytes, wanted_for: str) -> InvalidFile:
        verdict = store.ingest([data], expected_bytes=None, max_bytes=MOST, check=check_file, wanted_for=wanted_for)
        assert isinstance(verdict, InvalidFile)
        return verdict

    large = bring(b"\0unknown film" * 1_000, "first")
    for number in range(20):
        bring(f"<html>{number:02}</html>".encode(), "first")
    for _ in range(5):
        bring(b"<html>gone</html>", "second")

    assert large.kept in files(store)
    assert len(files(store)) == 4 + 1
    assert bring(b"\0another film" * 900, "first").kept in files(store)
    assert bring(b"<p>", "first").kept is None, "it is smaller than every kept file"
    assert len(files(store)) == 4 + 1


CHILD = """
import resource, sys
from pathlib import Path
from extend_pipeline.base.failpoints import arm_from_environment
from extend_pipeline.media.check.probe import check_file
from extend_pipeline.media.local_store import LocalStore
arm_from_environment()
root, film, limit = sys.argv[1:]
data = Path(film).read_bytes()
if int(limit):
    sys.dont_write_bytecode = True  # half of a module's bytecode would be kept
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
chunks = [data[at : at + 4096] for at in range(0, len(data), 4096)]
try:
    print(LocalStore(Path(root)).ingest(chunks, expected_bytes=len(data), max_bytes=10**9, check=check_file))
except OSError as error:
    print("OSError", error.errno)
"""


def run_child(
    store: LocalStore, film: bytes, tmp_path: Path, *, failpoint: str = "", limit: int = 0
) -> tuple[int, str]:
    source = tmp_path / "source.mp4"
    source.write_bytes(film)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(store.root), str(source), str(limit)],
        env={**os.environ, ENVIRONMENT: failpoint},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["collect.mid_download", "collect.before_fsync", "collect.before_rename"])
def test_a_process_killed_before_the_rename_leaves_no_final_file_and_sweep_clears_up(
    store: LocalStore, film: bytes, tmp_path: Path, name: str
) -> None:
    code, _ = run_child(store, film, tmp_path, failpoint=f"{name}=kill")

    assert code == -signal.SIGKILL
    (left,) = files(store)
    assert left.startswith(".incoming/")
    size = (store.root / left).stat().st_size
    assert size == (4096 if name == "collect.mid_download" else len(film))

    assert store.sweep(older_than_s=3600, now=time.time()) == 0, "too young to be abandoned"
    assert store.sweep(older_than_s=3600, now=time.time() + 7200) == 1
    assert files(store) == []
    assert isinstance(ingest(store, film), Stored)


def test_a_process_killed_after_the_rename_leaves_the_whole_file(
    store: LocalStore, film: bytes, tmp_path: Path
) -> None:
    code, _ = run_child(store, film, tmp_path, failpoint="collect.after_rename=kill")

    assert code == -signal.SIGKILL
    (left,) = files(store)
    assert (store.root / left).read_bytes() == film
    again = ingest(store, film)
    assert isinstance(again, Stored)
    assert again.path == left


def test_a_full_disk_is_an_oserror_and_leaves_nothing(store: LocalStore, film: bytes, tmp_path: Path) -> None:
    code, out = run_child(store, film, tmp_path, limit=10_000)

    assert (code, out.split()[0]) == (0, "OSError")
    assert files(store) == []


def test_sweep_spares_a_slow_writer_that_lives(store: LocalStore, film: bytes) -> None:
    swept: list[int] = []

    def slow() -> Iterator[bytes]:
        yield film[:5000]
        swept.append(store.sweep(older_than_s=0, now=time.time() + 10**6))
        yield film[5000:]

    stored = store.ingest(slow(), expected_bytes=len(film), max_bytes=MOST, check=check_file)

    assert swept == [0]
    assert isinstance(stored, Stored)


def test_a_folder_that_leads_out_of_the_store_is_refused(store: LocalStore, tmp_path: Path) -> None:
    store.root.mkdir()
    (store.root / "ab").symlink_to(tmp_path)

    ref = MediaRef("ab" * 32, ".mp4")
    for use in (store.exists, store.location):
        with pytest.raises(OSError, match="ab") as raised:
            use(ref)
        assert raised.value.errno == errno.ELOOP
    with pytest.raises(OSError, match="ab") as raised:
        store.put_poster(ref.sha256, b"jpeg")
    assert (raised.value.errno, list(tmp_path.glob("*.jpg"))) == (errno.ELOOP, [])


def test_a_place_is_known_to_a_user_who_can_t_look_into_the_store(store: LocalStore) -> None:
    store.make()
    if os.geteuid() != 0:
        store.root.chmod(0)
    ref = MediaRef("ab" * 32, ".mp4")
    try:
        place = as_another_user(store.location, ref)
    finally:
        store.root.chmod(0o700)
    assert place == str(store.root / str(ref))


@pytest.mark.parametrize("sha256", ["../../x", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", ""])
def test_only_a_hash_names_a_poster(store: LocalStore, sha256: str) -> None:
    with pytest.raises(ValueError, match="sha256"):
        store.put_poster(sha256, b"jpeg")
