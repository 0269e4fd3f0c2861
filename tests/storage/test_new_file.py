"""Files that have no name until they are complete, and what is done where that cannot be."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cm4storage.core.errors import StorageFault
from cm4storage.storage.folders.directio import DirectStore
from cm4storage.storage.folders.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

SOURCE = Path(__file__).parents[2] / "src"

WRITING = """
import os, signal, sys
from pathlib import Path
from cm4storage.storage.folders.file import FileStore

root = Path(sys.argv[1])
store = FileStore(root)

def chunks():
    yield memoryview(bytes(10_000))
    print("FILES", sorted(path.name[:12] for path in root.iterdir()), flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)

store.write("object", chunks())
store.write("object", [memoryview(b"new")])
print("AFTER", sorted(path.name for path in root.iterdir()), (root / "object").read_bytes())
"""


@pytest.fixture
def unnamed(tmp_path: Path) -> Path:
    """Return a folder on a file system that has files without names."""
    try:
        os.close(os.open(tmp_path, os.O_WRONLY | os.O_TMPFILE))
    except OSError as error:
        pytest.skip(f"no files without names here: {error}")
    return tmp_path / "root"


@pytest.mark.parametrize("times", [1, 10**6])
def test_a_folder_that_is_removed_while_a_file_is_made_in_it(
    unnamed: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """To an open at that instant ext4 answers EPERM; one in a hundred has it in a bare loop."""
    store, really_open, count = FileStore(unnamed), os.open, itertools.count(1)
    store.write("folder/other", [memoryview(b"")])
    (unnamed / "folder" / "other").unlink()

    def too_late(path: Any, flags: int, *more: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE and next(count) <= times:
            if Path(path).is_dir():
                Path(path).rmdir()
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        return really_open(path, flags, *more)

    monkeypatch.setattr(os, "open", too_late)
    if times == 1:
        assert store.write("folder/object", [memoryview(b"x")]) == 1
    else:
        with pytest.raises(StorageFault, match="cannot create the object: Operation not permitted"):
            store.write("folder/object", [memoryview(b"x")])


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Return a folder on another file system than those of `tmp_path`."""
    try:
        folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    except OSError as error:
        pytest.skip(f"no second file system here: {error}")
    if folder.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    yield folder
    shutil.rmtree(folder)


def is_unnamed(flags: int) -> bool:
    return flags & os.O_TMPFILE == os.O_TMPFILE


def written(root: Path, *, end: str, shell: str = 'exec "$@"') -> subprocess.CompletedProcess[str]:
    words = ["sh", "-c", shell, "sh", sys.executable, "-c", WRITING, os.fspath(root), end]
    if shell != 'exec "$@"':
        words = ["unshare", "-rm", *words]
    return subprocess.run(
        words, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": os.fspath(SOURCE)},
    )  # fmt: skip


def test_a_killed_writer_leaves_nothing(unnamed: Path) -> None:
    done = written(unnamed, end="killed")
    assert (done.returncode, done.stdout) == (-9, "FILES []\n"), done
    assert list(unnamed.iterdir()) == []


def test_a_file_has_a_temporary_name_where_it_could_not_get_one_later(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    hide = 'mount -t tmpfs none /proc && exec "$@"'  # a name is given by way of /proc
    done = written(tmp_path / "root", end="complete", shell=hide)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no namespaces here: {done.stderr}")
    assert done.returncode == 0, done
    assert done.stdout == "FILES ['.cm4storage-']\nAFTER ['object'] b'new'\n"


@pytest.mark.parametrize("refused", ["open", "link"])
def test_each_file_system_below_a_root_gets_files_that_it_can_have(
    unnamed: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """What other file systems refuse is refused here: none without such files is to be had."""
    (unnamed / "near").mkdir(parents=True)
    (unnamed / "far").symlink_to(elsewhere)
    opened, linked, asked = os.open, os.link, []

    def open_there(path: str, flags: int, *mode: int, **options: Any) -> int:
        if is_unnamed(flags):
            asked.append(path)
            if refused == "open" and Path(path).stat().st_dev == elsewhere.stat().st_dev:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP), path)
        return opened(path, flags, *mode, **options)

    def link_there(source: str, path: str, **options: Any) -> None:
        if refused == "link" and Path(path).parent.stat().st_dev == elsewhere.stat().st_dev:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        linked(source, path, **options)

    monkeypatch.setattr(os, "open", open_there)
    monkeypatch.setattr(os, "link", link_there)
    store = FileStore(unnamed)
    keys = [f"{place}/{number}" for number in range(3) for place in ("near", "far", "far/below")]
    for key in keys:
        store.write(key, [memoryview(key.encode())])
    assert [item.key for item in store.list()] == sorted(keys)
    for key in keys:
        assert (unnamed / key).read_bytes() == key.encode()
    names = {path.name for folder in (unnamed, elsewhere) for path in folder.rglob("*")}
    assert names == {"near", "far", "below", "0", "1", "2"}
    assert asked.count(f"{unnamed}/far") == 1, "it is tried once for each file system"
    assert asked.count(f"{unnamed}/far/below") == 0
    assert asked.count(f"{unnamed}/near") == 4


def test_a_folder_is_looked_at_once(unnamed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, looked_at, stat = FileStore(unnamed), [], os.stat
    for place in ("a", "b"):
        store.write(f"{place}/0", [memoryview(b"x")])

    def look(path: Any, **options: Any) -> os.stat_result:
        looked_at.append(path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", look)
    for number in range(4):
        store.write(f"a/{number}", [memoryview(b"x")])
    assert looked_at == []


@pytest.mark.parametrize("error", [FileNotFoundError, FileExistsError])
def test_a_folder_comes_back_also_while_others_make_and_remove_it(
    unnamed: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError]
) -> None:
    store, mkdir = FileStore(unnamed), os.mkdir
    store.write("folder/inner/first", [memoryview(b"x")])
    races = iter([True, True])

    def mkdir_in_a_race(path: str, *mode: int, **options: Any) -> None:
        if str(path).endswith("inner") and next(races, False):
            raise error(path)
        mkdir(path, *mode, **options)

    def chunks() -> Iterator[memoryview]:
        yield memoryview(b"y")
        store.delete("folder/inner/first")

    monkeypatch.setattr(os, "mkdir", mkdir_in_a_race)
    store.write("folder/inner/second", chunks())
    assert (unnamed / "folder/inner/second").read_bytes() == b"y"
    assert next(races, None) is None


@pytest.mark.usefixtures("needs_direct_io")
@pytest.mark.parametrize("kind", [FileStore, DirectStore])
def test_a_folder_that_goes_while_a_file_is_written_comes_back(
    unnamed: Path, kind: type[FileStore | DirectStore]
) -> None:
    store = kind(unnamed)
    store.write("folder/first", [memoryview(b"x")])

    def chunks() -> Iterator[memoryview]:
        yield memoryview(b"y")
        store.delete("folder/first")
        assert not (unnamed / "folder").exists()

    store.write("folder/second", chunks())
    assert [(item.key, item.size_bytes) for item in store.list()] == [("folder/second", 1)]


def test_rights_are_those_that_the_user_gives_new_files(unnamed: Path) -> None:
    store, before = FileStore(unnamed), os.umask(0o027)
    try:
        store.write("object", [memoryview(b"x")])
        store.write("object", [memoryview(b"y")])
    finally:
        os.umask(before)
    assert (unnamed / "object").stat().st_mode & 0o777 == 0o640


def test_rights_are_those_of_named_files_where_the_kernel_forgets_the_umask(
    unnamed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def open_as_before_linux_6(path: str, flags: int, mode: int = 0o777, **options: Any) -> int:
        descriptor = opened(path, flags, mode, **options)
        if is_unnamed(flags):
            os.fchmod(descriptor, mode)
        return descriptor

    monkeypatch.setattr(os, "open", open_as_before_linux_6)
    open_before, before = open_files(), os.umask(0o027)
    try:
        FileStore(unnamed).write("object", [memoryview(b"x")])
    finally:
        os.umask(before)
    assert open_files() == open_before
    assert (unnamed / "object").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in unnamed.iterdir()] == ["object"]


def test_a_write_that_fails_leaves_nothing_and_no_open_file(unnamed: Path) -> None:
    store = FileStore(unnamed)
    store.write("object", [memoryview(b"old")])
    (unnamed / "folder").mkdir()
    before = open_files()
    for key in ("object", "folder/object"):

        def chunks() -> Iterator[memoryview]:
            yield memoryview(b"new")
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            store.write(key, chunks())
    assert open_files() == before
    assert [path.name for path in unnamed.rglob("*") if path.is_file()] == ["object"]
    assert (unnamed / "object").read_bytes() == b"old"


def test_a_link_in_the_way_is_replaced_not_followed(unnamed: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"kept")
    unnamed.mkdir()
    (unnamed / "object").symlink_to(tmp_path / "elsewhere")
    FileStore(unnamed).write("object", [memoryview(b"new")])
    assert (unnamed / "object").read_bytes() == b"new"
    assert not (unnamed / "object").is_symlink()
    assert (tmp_path / "elsewhere").read_bytes() == b"kept"


@pytest.mark.parametrize("size", [4096, 4097, 65_536, 300_000])
def test_chunks_of_any_size_arrive_in_order(tmp_path: Path, size: int) -> None:
    whole = os.urandom(1_000_003)
    chunks = [memoryview(whole[:234])]
    chunks += [memoryview(whole[start : start + size]) for start in range(234, len(whole), size)]
    assert FileStore(tmp_path).write("object", iter(chunks)) == len(whole)
    assert (tmp_path / "object").read_bytes() == whole


def ends_of_writes(folder: Path, sizes: list[int]) -> list[int]:
    """Write chunks of these sizes; return where each write to the file ended."""
    whole = os.urandom(sum(sizes))
    starts = [0, *itertools.accumulate(sizes)]
    chunks = [memoryview(whole)[start:end] for start, end in itertools.pairwise(starts)]
    counts: list[int] = []
    writev: Callable[..., int] = os.writev

    def noting(descriptor: int, buffers: list[memoryview]) -> int:
        counts.append(writev(descriptor, buffers))
        return counts[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", noting)
        assert FileStore(folder).write("object", iter(chunks)) == len(whole)
    assert (folder / "object").read_bytes() == whole
    return list(itertools.accumulate(counts))


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 40)), max_size=8))
def test_writes_end_with_whole_pages(runs: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sizes = [size for size, count in runs for _ in range(count)]
        ends = ends_of_writes(Path(folder), sizes)
    assert [end for end in ends[:-1] if end % 4096] == []


@pytest.mark.parametrize("size", [234, 3000, 4095])
def test_many_small_chunks_end_with_whole_pages(tmp_path: Path, size: int) -> None:
    ends = ends_of_writes(tmp_path, [65_535, *[size] * (200_000 // size)])
    assert [end for end in ends[:-1] if end % 4096] == []
    assert len(ends) <= 6, "small chunks are gathered"


def test_files_that_are_short_for_once_do_not_settle_the_kind(
    unnamed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, opened, fails = FileStore(unnamed), os.open, [True]

    def short_of_files(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE and fails:
            fails.clear()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return opened(path, flags, mode)

    def names() -> Iterator[memoryview]:
        yield memoryview(b"x")
        seen.append([path.name for path in unnamed.iterdir()])

    seen: list[list[str]] = []
    monkeypatch.setattr(os, "open", short_of_files)
    store.write("first", names())
    store.write("second", names())
    assert seen[0][0].startswith(".cm4storage-")
    assert seen[1] == ["first"]
