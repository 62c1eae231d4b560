"""The guarantees of every media store. A new store is one more entry of STORES."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from extend_pipeline.config.settings import MEDIA_SCHEMES, Settings
from extend_pipeline.media import stores
from extend_pipeline.media.check.probe import InvalidFile, Probe, ValidFile, check_file
from extend_pipeline.media.store import FOLDERS, POSTER, MediaRef, MediaStore, Stored
from extend_pipeline_tests.support.media.examined import probe_of
from extend_pipeline_tests.support.media.mp4 import make_clip

MAX_BYTES = 10_000_000
STORES = ("file://{home}/media",)
"""The setting EXTEND_PIPELINE_MEDIA_URL for each kind of store."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(tmp_path_factory.mktemp("films") / "film.mp4", seconds=1).read_bytes()


@pytest.fixture(params=STORES)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], MediaStore]:
    """Return a function that opens the store as another process would."""
    settings = Settings(home=tmp_path, media_url=request.param)
    return lambda: stores.open_store(settings)


@pytest.fixture
def store(reopen: Callable[[], MediaStore]) -> MediaStore:
    return reopen()


def ingest(store: MediaStore, data: bytes, *, key: str = "") -> Stored | InvalidFile:
    return store.ingest([data], expected_bytes=len(data), max_bytes=MAX_BYTES, check=check_file, wanted_for=key)


def content(store: MediaStore, ref: MediaRef) -> bytes:
    with store.local(ref) as path:
        return path.read_bytes()


def listed(store: MediaStore) -> dict[str, int]:
    return {name: film.bytes for folder in FOLDERS for name, film in store.films_in(folder).items()}


def test_every_scheme_that_a_setting_may_have_has_a_store_here() -> None:
    assert set(MEDIA_SCHEMES) == set(stores.STORES) == {url.partition(":")[0] for url in STORES}


def test_only_a_store_knows_the_folder_of_its_files() -> None:
    package = Path(stores.__file__).parents[1]
    modules = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if "media_dir" in path.read_text("utf-8")
    }
    assert modules == {"config/settings.py", "media/stores.py"}


def test_a_film_is_there_for_other_processes_under_the_hash_of_its_bytes(
    reopen: Callable[[], MediaStore], film: bytes
) -> None:
    stored = ingest(reopen(), film)

    assert isinstance(stored, Stored)
    assert stored.ref == MediaRef(hashlib.sha256(film).hexdigest(), ".mp4") == MediaRef.parse(stored.path)
    assert stored.bytes == len(film)
    other = reopen()
    assert other.exists(stored.ref)
    assert content(other, stored.ref) == film
    assert listed(other) == {stored.path: len(film)}
    assert stored.sha256 in other.location(stored.ref)


def test_the_same_bytes_again_are_the_same_film(store: MediaStore, film: bytes) -> None:
    assert ingest(store, film) == ingest(store, film)
    assert len(listed(store)) == 1


def test_a_refused_file_is_no_film_of_the_store(store: MediaStore, film: bytes) -> None:
    page = b"<html>no such film</html>"

    refused = ingest(store, page, key="result:a")
    short = store.ingest([film[:-1]], expected_bytes=len(film), max_bytes=MAX_BYTES, check=check_file)
    large = store.ingest([film], expected_bytes=None, max_bytes=len(film) - 1, check=check_file)

    assert isinstance(refused, InvalidFile)
    assert refused.kept is not None
    assert refused.sha256 == hashlib.sha256(page).hexdigest()
    assert isinstance(short, InvalidFile)
    assert isinstance(large, InvalidFile)
    assert listed(store) == {}


def test_a_source_that_breaks_off_leaves_nothing(store: MediaStore) -> None:
    def broken() -> list[bytes]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.ingest((chunk for _ in "x" for chunk in broken()), expected_bytes=None, max_bytes=9, check=check_file)
    assert listed(store) == {}
    assert store.sweep(older_than_s=0, now=2**40) == 0


def test_a_download_goes_on_where_another_process_ended(reopen: Callable[[], MediaStore], film: bytes) -> None:
    with reopen().partial("result:a") as partial:
        assert partial is not None
        partial.begin('"v1"', len(film))
        partial.append([film[:1000]])

    other = reopen()
    assert other.sweep(older_than_s=0, now=2**40, keep=["result:a"]) == 0
    with other.partial("result:a") as partial:
        assert partial is not None
        assert partial.size == 1000
        with reopen().partial("result:a") as second:
            assert second is None, "one writer at a time"
        partial.append([film[1000:]])
        stored = other.ingest_partial(partial, partial.sha256(), check=check_file, quarantine=True)
    assert isinstance(stored, Stored)
    assert content(reopen(), stored.ref) == film
    with other.partial("result:a") as partial:
        assert partial is not None
        assert partial.size == 0


def test_a_refused_download_stays_until_it_is_given_up(store: MediaStore) -> None:
    with store.partial("result:a") as partial:
        assert partial is not None
        partial.begin(None, None)
        partial.append([b"<html>"])
        stored = store.ingest_partial(partial, partial.sha256(), check=check_file, quarantine=False)
    assert isinstance(stored, InvalidFile)
    assert stored.kept is None
    with store.partial("result:a") as partial:
        assert partial is not None
        assert partial.size == 6
    store.forget("result:a")
    with store.partial("result:a") as partial:
        assert partial is not None
        assert partial.size == 0


def test_a_film_that_is_made_here_is_stored_or_leaves_nothing(store: MediaStore, film: bytes) -> None:
    def write(out: Path) -> Probe | InvalidFile:
        out.write_bytes(film)
        return probe_of(out)

    stored = store.build(write, max_bytes=MAX_BYTES)
    assert isinstance(stored, Stored)
    assert content(store, stored.ref) == film
    assert stored.probe == probe_of(Path(store.location(stored.ref)))
    assert store.build(lambda _: InvalidFile("no"), max_bytes=MAX_BYTES) == InvalidFile("no")
    assert isinstance(store.build(write, max_bytes=len(film) - 1), InvalidFile)
    assert listed(store) == {stored.path: len(film)}


def test_a_poster_can_be_replaced_and_is_no_film(store: MediaStore) -> None:
    ref = store.put_poster("ab" * 32, b"one")

    assert ref == store.put_poster("ab" * 32, b"two") == MediaRef("ab" * 32, POSTER)
    assert content(store, ref) == b"two"
    assert listed(store) == {}


def test_a_missing_file_is_reported(store: MediaStore) -> None:
    ref = MediaRef("ab" * 32, ".mp4")

    assert not store.exists(ref)
    with pytest.raises(FileNotFoundError), store.local(ref):
        raise AssertionError


def test_a_store_is_known_by_its_mark_and_a_new_one_has_none(reopen: Callable[[], MediaStore], film: bytes) -> None:
    store = reopen()
    assert (store.is_there(), store.mark()) == (False, None)
    store.make()
    assert (store.is_there(), store.mark()) == (True, None)

    assert store.set_mark(at_ms=1_000, new_id="first") == "first"
    assert reopen().set_mark(at_ms=2_000, new_id="second") == "first", "a mark keeps its id"
    mark = reopen().mark()
    assert mark is not None
    assert (mark.id, mark.at_ms) == ("first", 2_000)
    store.forget_look()
    mark = reopen().mark()
    assert mark is not None
    assert (mark.id, mark.at_ms) == ("first", 0)
    assert isinstance(ingest(store, film), Stored), "a mark is no film"
    assert len(listed(store)) == 1


def test_a_store_has_a_place_and_free_space(store: MediaStore) -> None:
    free = store.free_bytes()

    assert store.place
    assert free is None or free > 0
    assert isinstance(list(store.folders()), list)


@pytest.mark.parametrize(
    "name",
    [
        *("../outside", "ab/../../outside", "/etc/passwd", "", ".", "ab/..", "a\0b", "link/file", "ab", "x" * 64),
        *(f"ab/{'ab' * 32}", f"ab/{'AB' * 32}.mp4", f"cd/{'ab' * 32}.mp4", f"ab/{'ab' * 32}.mp4\n"),
        *(f"ab/{'ab' * 31}.mp4", f"ab/{'ab' * 32}.a/b", f"ab/{'ab' * 32}.mp4.mp4", f"abx{'ab' * 32}.mp4"),
    ],
)
def test_only_the_hash_of_a_film_names_a_file(name: str) -> None:
    with pytest.raises(ValueError, match="is not "):
        MediaRef.parse(name)


def test_a_check_that_raises_leaves_nothing(store: MediaStore, film: bytes) -> None:
    def check(path: Path) -> ValidFile | InvalidFile:
        raise PermissionError(path)

    with pytest.raises(PermissionError):
        store.ingest([film], expected_bytes=None, max_bytes=MAX_BYTES, check=check)
    assert listed(store) == {}
