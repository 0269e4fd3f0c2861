"""What only folders do: permissions, full disks, links, and faults of the file system."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cm4storage.core.errors import StorageFault
from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.store import MissingObject

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "root")


def keys(store: FileStore) -> list[str]:
    return [item.key for item in store.list()]


def test_the_uri_is_encoded(tmp_path: Path) -> None:
    assert FileStore(tmp_path / "a b%").uri == f"file://{tmp_path}/a%20b%25"


def test_a_root_that_is_not_there_is_empty_until_written(store: FileStore) -> None:
    assert list(store.list()) == list(store.folders()) == []
    assert store.free_bytes() > 0
    store.delete("object")
    with pytest.raises(MissingObject, match="object"):
        store.stat("object")
    store.write("deep/er/object", [memoryview(b"x")])
    assert keys(store) == ["deep/er/object"]


def test_deleting_the_last_file_removes_its_folders_but_not_the_root(
    store: FileStore, tmp_path: Path
) -> None:
    store.write("deep/er/object", [memoryview(b"x")])
    store.delete("deep/er/object")
    assert list((tmp_path / "root").iterdir()) == []


def test_unfinished_files_are_not_listed(store: FileStore, tmp_path: Path) -> None:
    store.write("object", [memoryview(b"x")])
    (tmp_path / "root" / ".cm4storage-0123456789abcdef.tmp").write_bytes(b"cut off")
    assert keys(store) == ["object"]
    assert not list(store.folders())


def test_a_write_that_is_killed_leaves_the_old_file(store: FileStore, tmp_path: Path) -> None:
    store.write("object", [memoryview(b"old")])
    program = f"""
import os, signal
from pathlib import Path
from cm4storage.storage.folders.file import FileStore
def chunks():
    yield memoryview(b"new")
    os.kill(os.getpid(), signal.SIGKILL)
FileStore(Path({os.fspath(tmp_path / "root")!r})).write("object", chunks())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert keys(store) == ["object"]
    with store.read("object") as view:
        assert view == b"old"


def leave_temporary(folder: Path, name: str, *, age_s: float) -> Path:
    """Make what a killed writer leaves, as if it had been that long ago."""
    path = folder / f".cm4storage-{name * 16}.tmp"
    path.write_bytes(b"cut off")
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return path


def test_leftovers_of_killed_writers_are_removed_by_a_later_write(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "train"
    folder.mkdir(parents=True)
    stale = leave_temporary(folder, "a", age_s=4000)
    fresh = leave_temporary(folder, "b", age_s=3000)
    other = folder / ".cm4storage-mine.tmp"
    other.write_bytes(b"a name that no write makes")
    os.utime(other, (0, 0))
    link = folder / f".cm4storage-{'d' * 16}.tmp"
    link.symlink_to(other)
    FileStore(tmp_path / "root").write("elsewhere/object", [memoryview(b"x")])
    assert stale.exists()
    FileStore(tmp_path / "root").write("train/object", [memoryview(b"x")])
    assert not stale.exists()
    assert fresh.exists()
    assert other.exists()


def test_the_file_of_a_writer_that_pauses_for_hours_is_kept(tmp_path: Path) -> None:
    store = FileStore(tmp_path, fsync=True)

    def chunks() -> Iterator[memoryview]:
        yield memoryview(b"first ")
        (temporary,) = tmp_path.glob(".cm4storage-*.tmp")
        os.utime(temporary, (0, 0))
        program = (
            "import sys; from pathlib import Path; "
            "from cm4storage.storage.folders.file import FileStore; "
            "FileStore(Path(sys.argv[1])).write('other', [b'x'])"
        )
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True)
        yield memoryview(b"second")

    store.write("object", chunks())
    assert (tmp_path / "object").read_bytes() == b"first second"
    assert keys(store) == ["object", "other"]


def test_names_that_are_not_utf8_are_left_out(store: FileStore, tmp_path: Path) -> None:
    store.write("object", [memoryview(b"x")])
    Path(os.fsdecode(os.fsencode(tmp_path / "root") + b"/bad-\xff")).write_bytes(b"")
    (tmp_path / "root" / "line\nbreak").write_bytes(b"")
    assert keys(store) == ["object"]


def test_follows_links_but_not_in_circles(store: FileStore, tmp_path: Path) -> None:
    store.write("folder/object", [memoryview(b"x")])
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "far").write_bytes(b"yy")
    root = tmp_path / "root"
    (root / "link").symlink_to(elsewhere)
    (root / "folder" / "circle").symlink_to(root)
    (root / "dangling").symlink_to(root / "nothing")
    assert [(item.key, item.size_bytes) for item in store.list()] == [
        ("folder/object", 1),
        ("link/far", 2),
    ]
    assert list(store.folders()) == ["folder", "link"]


def test_what_is_not_a_file_is_not_read(store: FileStore, tmp_path: Path) -> None:
    (tmp_path / "root" / "folder").mkdir(parents=True)
    os.mkfifo(tmp_path / "root" / "pipe")
    with pytest.raises(MissingObject, match="there is a folder of this name"):
        store.stat("folder")
    with pytest.raises(StorageFault, match="not a regular file"), store.read("pipe"):
        pass
    with pytest.raises(StorageFault, match="there is a folder of this name"):
        store.write("folder", [memoryview(b"x")])
    assert keys(store) == []
    assert [path.name for path in (tmp_path / "root").rglob("*.tmp")] == []


def test_a_file_in_the_way_of_a_folder_is_named(store: FileStore) -> None:
    store.write("name", [memoryview(b"x")])
    for key in ("name/below", "name/far/below"):
        with pytest.raises(StorageFault, match=r"(?s)a part of the path is a file.*move that file"):
            store.write(key, [memoryview(b"y")])


def test_a_name_that_is_too_long_is_named(store: FileStore) -> None:
    with pytest.raises(StorageFault, match="longer than the file system allows"):
        store.write("x" * 300, [memoryview(b"y")])
    with pytest.raises(StorageFault, match="longer than the file system allows"):
        store.stat("x" * 300)


def test_a_file_that_ends_before_its_size_is_a_fault() -> None:
    """Files in /sys say 4096 bytes and hold fewer, like a file that is truncated meanwhile."""
    store = FileStore(Path("/sys/kernel"))
    if store.stat("fscaps").size_bytes != 4096:
        pytest.skip("this kernel's /sys is different")
    with pytest.raises(StorageFault, match="4094 bytes early"), store.read("fscaps"):
        pass
    with pytest.raises(StorageFault, match="the file ends at byte 2"):
        store.read_into("fscaps", memoryview(bytearray(10)))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EIO, "device failed"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ESTALE, "mount"),
    ],
)
def test_error_numbers_have_a_cause_and_advice(number: int, text: str) -> None:
    fault = file_fault(OSError(number, os.strerror(number)), "write", "/some/path")
    assert text in str(fault)
    assert "/some/path" in str(fault)
    assert fault.exit_code == 3


def test_a_folder_without_permission_is_a_clear_fault(tmp_path: Path) -> None:
    """Root gives its rights up only after the imports: others may not enter its interpreter."""
    program = """
import os, sys
from pathlib import Path
from cm4storage.core.errors import StorageFault
from cm4storage.storage.folders.file import FileStore
store = FileStore(Path(sys.argv[1]))
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for use in (lambda: store.write("a/b", [b"x"]), lambda: list(store.list()),
            lambda: store.stat("object"), lambda: store.read("object").__enter__()):
    try:
        use()
    except StorageFault as fault:
        print(int(fault.exit_code), fault)
"""
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "object").write_bytes(b"secret")
    closed.chmod(0)
    result = subprocess.run(
        [sys.executable, "-c", program, str(closed)], capture_output=True, text=True, check=False
    )
    closed.chmod(0o700)
    assert result.stdout.count("this user has no permission") == 4, result
    assert result.stdout.count(str(closed)) == 4
    assert [path.name for path in closed.iterdir()] == ["object"]


def test_a_full_disk_is_a_clear_fault_and_leaves_nothing(tmp_path: Path) -> None:
    """In a user and mount namespace of its own, on a small tmpfs."""
    program = """
import os, sys
from pathlib import Path
from cm4storage.core.errors import StorageFault
from cm4storage.storage.folders.file import FileStore
store = FileStore(Path(sys.argv[1]))
store.write("old", [b"old"])
try:
    store.write("old", (bytes(2**20) for _ in range(20)))
except StorageFault as fault:
    print(fault)
print(os.listdir(sys.argv[1]), store.free_bytes() < 2**23)
with store.read("old") as view:
    print(bytes(view))
"""
    mount = 'mount -t tmpfs -o size=4m none "$1" && exec "$2" -c "$3" "$1"'
    result = subprocess.run(
        ["unshare", "-rm", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, program],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0 and "unshare" in result.stderr:
        pytest.skip(f"no namespaces here: {result.stderr}")
    assert "the file system is full" in result.stdout, result
    assert "free some space" in result.stdout
    assert "['old'] True\nb'old'" in result.stdout


def test_an_array_made_from_a_loan_stays_intact(store: FileStore) -> None:
    numpy = pytest.importorskip("numpy")
    store.write("first", [memoryview(b"\x01" * 50_000)])
    store.write("second", [memoryview(b"\x02" * 50_000)])
    with store.read("first") as view:
        array = numpy.frombuffer(view, dtype="u1")
    for _ in range(3):
        with store.read("second"):
            pass
    assert (array == 1).all()


# Reading step by step


def open_files() -> set[Path]:
    return {each.resolve() for each in Path("/proc/self/fd").iterdir()}


@pytest.mark.parametrize("start", [0, 7, 90, 200])
@pytest.mark.parametrize("sizes", [[[10]], [[3, 4], [], [50]], [[60], [60], [60]]])
def test_steps_fill_what_there_is(store: FileStore, start: int, sizes: list[list[int]]) -> None:
    data = bytes(range(100))
    store.write("object", [memoryview(data)])
    steps = [[memoryview(bytearray(size)) for size in step] for step in sizes]
    wanted = data[start : start + sum(map(sum, sizes))]
    assert sum(store.read_steps("object", steps, start=start)) == len(wanted)
    filled = b"".join(bytes(buffer) for step in steps for buffer in step)
    assert filled[: len(wanted)] == wanted
    assert not any(filled[len(wanted) :])


def test_a_step_is_read_when_it_is_asked_for(store: FileStore, tmp_path: Path) -> None:
    store.write("object", [memoryview(b"abcd")])
    buffers = [memoryview(bytearray(2)) for _ in range(2)]
    reads = store.read_steps("object", [[buffer] for buffer in buffers])
    assert next(reads) == 2
    assert [bytes(buffer) for buffer in buffers] == [b"ab", bytes(2)]
    assert tmp_path / "root" / "object" in open_files()
    reads.close()
    assert tmp_path / "root" / "object" not in open_files()


def test_steps_of_what_is_no_file(store: FileStore) -> None:
    store.write("folder/object", [memoryview(b"x")])
    with pytest.raises(MissingObject, match="does not exist"):
        next(store.read_steps("nothing", [[memoryview(bytearray(1))]]))
    with pytest.raises(MissingObject, match="there is a folder of this name"):
        next(store.read_steps("folder", [[memoryview(bytearray(1))]]))
    with pytest.raises(ValueError, match="a range starts at 0 or later"):
        next(store.read_steps("folder/object", [], start=-1))
