"""Files that have no name until they are complete, and what is done where that cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cm4storage.storage.folders.directio import DirectStore
from cm4storage.storage.folders.file import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


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
