"""Files past the page cache: any range and any chunks, judged by plain files; and refusals."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cm4storage.core.errors import StorageFault, UserError
from cm4storage.storage import page_cache
from cm4storage.storage.buffers import BufferPool
from cm4storage.storage.check import check_store
from cm4storage.storage.folders import alignment
from cm4storage.storage.folders.alignment import DEFAULT, Alignment, alignment_of, file_system_of
from cm4storage.storage.folders.direct_plan import ReadPlan
from cm4storage.storage.folders.directio import DirectStore
from cm4storage.storage.folders.file import FileStore
from cm4storage.storage.location import StoreLocation
from cm4storage.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20
DATA = os.urandom(3 * MIB)
# Around blocks, pages, what is worth no copy, and the memory that chunks are gathered in.
SIZES = st.one_of(
    st.integers(0, 9000),
    st.sampled_from([511, 512, 513, 4096, 65536, 65537, 70_000, MIB, MIB + 100, 2 * MIB + 4095]),
)

pytestmark = pytest.mark.usefixtures("needs_direct_io")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DirectStore]:
    store = DirectStore(tmp_path / "root")
    yield store
    store.close()


def placed(size_bytes: int, shift: int) -> memoryview:
    """Return memory that begins so many bytes behind a page."""
    return memoryview(mmap.mmap(-1, size_bytes + shift + 1))[shift : shift + size_bytes]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chunks=st.lists(st.tuples(SIZES, st.sampled_from([0, 1, 512, 4000])), max_size=6),
    start=SIZES,
    rooms=st.lists(st.tuples(SIZES, st.sampled_from([0, 3, 512, 4000])), max_size=6),
)
def test_any_chunks_and_any_range(
    tmp_path: Path,
    chunks: list[tuple[int, int]],
    start: int,
    rooms: list[tuple[int, int]],
) -> None:
    wanted = b"".join(DATA[number : number + size] for number, (size, _) in enumerate(chunks))

    def memories() -> Iterator[memoryview]:
        for number, (size, shift) in enumerate(chunks):
            memory = placed(size, shift)
            memory[:] = DATA[number : number + size]
            yield memory
            memory[:] = bytes(size)  # it belongs to the writer again

    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        store = DirectStore(Path(folder))
        assert store.write("object", memories()) == len(wanted)
        assert Path(folder, "object").read_bytes() == wanted
        buffers = [placed(size, shift) for size, shift in rooms]
        length = sum(size for size, _ in rooms)
        expected = wanted[start : start + length]
        assert store.scatter("object", buffers, start=start) == len(expected)
        assert b"".join(buffers) == expected + bytes(length - len(expected))
        with store.read("object", start=start, length=length) as view:
            assert view == expected
        store.close()


def test_nothing_behind_the_end_is_touched(store: DirectStore) -> None:
    store.write("object", [memoryview(DATA)[: MIB + 1000]])
    buffer = placed(2 * MIB, 0)
    buffer[:] = b"x" * buffer.nbytes
    assert store.read_into("object", buffer) == MIB + 1000
    assert buffer[: MIB + 1000] == DATA[: MIB + 1000]
    assert buffer[MIB + 1000 :] == b"x" * (MIB - 1000)


@pytest.mark.parametrize("shift", [0, 512, 8])
def test_what_is_aligned_goes_straight_to_its_place(shift: int) -> None:
    aligned = Alignment(memory_bytes=512, block_bytes=512)
    header, row = placed(100, 0), placed(MIB, shift + 100)
    plan = ReadPlan.of([header, row, placed(8, 0)], 0, MIB + 108, aligned)
    if shift % 512:
        assert (plan.straight, plan.room_bytes) == ([], MIB + 512)
    else:
        [(offset, view)] = plan.straight
        assert (offset, view.nbytes) == (512, MIB - 512)
        assert plan.room_bytes == 1024


def test_a_file_that_others_wrote_is_read(store: DirectStore, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "object").write_bytes(DATA)  # some of it in the page cache only
    with store.read("object", start=MIB - 7) as view:
        assert view == DATA[MIB - 7 :]


def test_no_page_stays_in_the_cache(store: DirectStore) -> None:
    store.write("object", [memoryview(DATA)])
    with store.read("object") as view:
        assert view == DATA
    assert page_cache.residency([store.local_path("object")]).resident_bytes == 0


def test_memory_is_used_again(tmp_path: Path) -> None:
    pool = BufferPool()
    store = DirectStore(tmp_path, pool=pool)
    for _ in range(10):
        store.write("object", [memoryview(DATA)[1:]])
        with store.read("object", start=5):
            pass
        store.read_into("object", memoryview(bytearray(2 * MIB)))
    assert pool.mapped_count <= 2
    store.close()


def test_threads_write_and_read_at_a_time(store: DirectStore) -> None:
    errors: list[str] = []

    def work(number: int) -> None:
        for turn in range(5):
            wanted = DATA[number : number + 1_000_000 + turn]
            store.write(f"object-{number}", [memoryview(wanted)])
            with store.read(f"object-{number}") as view:
                if view != wanted:
                    errors.append(f"{number} {turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_folder_is_the_same_by_both_schemes(tmp_path: Path) -> None:
    with open_store(StoreLocation.parse(f"direct://{tmp_path}/a b")) as direct:
        assert isinstance(direct, DirectStore)
        assert direct.uri == f"directio://{tmp_path}/a%20b"
        direct.write("x/y", [memoryview(DATA)])
    with open_store(StoreLocation.parse(f"{tmp_path}/a b")) as plain, plain.read("x/y") as view:
        assert isinstance(plain, FileStore)
        assert view == DATA


def test_memory_is_no_disk(memory_folder: Path) -> None:
    with pytest.raises(UserError, match=r"directio:// has no meaning on tmpfs.*memory"):
        DirectStore(memory_folder / "not" / "there")
    with pytest.raises(UserError, match="has no meaning on tmpfs"):
        check_store(StoreLocation.parse(f"directio://{memory_folder}"))


def test_a_file_system_that_refuses_is_named() -> None:
    store = DirectStore(Path("/proc/self"))
    with pytest.raises(UserError, match="the file system proc refuses O_DIRECT"):
        store.read_into("status", memoryview(bytearray(1)))


def test_a_refused_write_leaves_nothing(
    store: DirectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_open = os.open

    def refuse(path: str, flags: int, mode: int = 0o777) -> int:
        """Make the file and fail, as Linux does where a file system has no O_DIRECT."""
        descriptor = really_open(path, flags & ~os.O_DIRECT, mode)
        if flags & os.O_DIRECT:
            os.close(descriptor)
            raise OSError(errno.EINVAL, "Invalid argument", path)
        return descriptor

    monkeypatch.setattr(os, "open", refuse)
    kind = file_system_of(str(tmp_path))
    with pytest.raises(UserError, match=f"the file system {kind} refuses O_DIRECT") as caught:
        store.write("object", [memoryview(b"x")])
    assert "_file" in caught.value.advice
    assert list((tmp_path / "root").iterdir()) == []


def test_a_file_system_that_would_use_the_cache_is_refused(
    store: DirectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("object", [memoryview(DATA)])
    other = DirectStore(Path(store.local_path("object")).parent)
    monkeypatch.setattr(
        "cm4storage.storage.folders.direct_files.alignment_of", lambda _descriptor: None
    )
    with pytest.raises(UserError, match="refuses O_DIRECT"), other.read("object"):
        pass
    with pytest.raises(UserError, match="refuses O_DIRECT"):
        other.write("new", [memoryview(b"x")])
    assert [item.key for item in other.list()] == ["object"]


def test_a_full_disk_is_a_fault(store: DirectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(StorageFault, match="cannot write after 0 bytes: No space left"):
        store.write("object", [memoryview(DATA)])
    monkeypatch.setattr(os, "pwritev", lambda *_: 100)
    with pytest.raises(StorageFault, match="only a part of a block"):
        store.write("object", [memoryview(DATA)])
    monkeypatch.undo()
    assert list(store.list()) == []


def test_short_answers_of_the_kernel_are_gone_on_with(
    store: DirectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv, pwritev = os.preadv, os.pwritev
    monkeypatch.setattr(os, "pwritev", lambda fd, bufs, at: pwritev(fd, [bufs[-1][:8192]], at))
    monkeypatch.setattr(os, "preadv", lambda fd, bufs, at: preadv(fd, [bufs[0][:8192]], at))
    memory = placed(MIB, 0)
    memory[:] = DATA[:MIB]
    store.write("object", [memory])
    monkeypatch.setattr(os, "pwritev", pwritev)
    with store.read("object", start=700) as view:
        assert view == DATA[700:MIB]
    buffers = [placed(100, 0), placed(MIB - 100, 100)]
    assert store.scatter("object", buffers) == MIB
    assert b"".join(buffers) == DATA[:MIB]


def test_a_file_that_shrinks_while_it_is_read_is_named(
    store: DirectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("object", [memoryview(DATA)])
    os.truncate(store.local_path("object"), 2 * MIB)
    really_stat = os.fstat

    class Stale:
        """The status as it was before."""

        def __init__(self, descriptor: int) -> None:
            status = really_stat(descriptor)
            self.st_mode, self.st_dev, self.st_size = status.st_mode, status.st_dev, len(DATA)

    monkeypatch.setattr(os, "fstat", Stale)
    with (
        pytest.raises(StorageFault, match=f"ends at byte {2 * MIB}, {MIB} bytes early"),
        store.read("object"),
    ):
        pass


def test_the_alignment_is_the_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = tmp_path / "object"
    probe.write_bytes(b"x")
    with probe.open("rb") as stream:
        found = alignment_of(stream.fileno())
        assert found is not None
        assert found.block_bytes & (found.block_bytes - 1) == 0
        assert DEFAULT.block_bytes % found.block_bytes == 0
        monkeypatch.setattr(alignment, "_libc", object)  # before glibc 2.28
        assert alignment_of(stream.fileno()) == DEFAULT
    with Path("/proc/self/status").open("rb") as stream:
        monkeypatch.undo()
        assert alignment_of(stream.fileno()) == DEFAULT
