"""What every store must do, as tests that run unchanged against each of them.

A test module subclasses `StoreContract` and provides the fixtures ``store`` (empty, its own root)
and ``open_again`` (a callable that opens another store on the same root).
"""

from __future__ import annotations

import functools
import gc
import hashlib
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cm4storage.storage.store import InvalidKey, MissingObject, ObjectStat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cm4storage.storage.store import Store

MIB = 2**20

ODD_NAMES = [
    "with space",
    " leading and trailing ",
    "umlaut-ä-日本語-🙂",
    "plus+plus",
    "percent%",
    "percent%20twenty",
    "what?",
    "hash#hash",
    "amp&equals=",
    "semi;colon:comma,",
    "brackets[1](2){3}<4>",
    "quote'double\"back`tick",
    "dollar$at@bang!star*tilde~caret^pipe|",
    ".hidden",
    "..two-dots",
    "dots...",
    "a/.b/..c/d...",
]
BAD_KEYS = ["", "/", "/etc/passwd", "a//b", "a/", "..", "../a", "a/../../b", "./a", "a/.", "a\\b"]
BAD_KEYS += ["a\nb", "a\0b", "\x7f", "\ud800", ".cm4storage-0123456789abcdef.tmp"]


@functools.lru_cache(maxsize=16)
def content(size_bytes: int, seed: int = 0) -> bytes:
    """Return bytes that differ from place to place and from seed to seed."""
    block = b"".join(
        hashlib.sha256(f"{seed}/{number}".encode()).digest()
        for number in range(min(size_bytes, MIB) // 32 + 1)
    )
    return (block * (size_bytes // len(block) + 1))[:size_bytes]


def put(store: Store, key: str, data: bytes) -> None:
    assert store.write(key, [memoryview(data)]) == len(data)


def get(store: Store, key: str, *, start: int = 0, length: int | None = None) -> bytes:
    with store.read(key, start=start, length=length) as view:
        return bytes(view)


def keys(store: Store, prefix: str = "") -> list[str]:
    return [item.key for item in store.list(prefix)]


class StoreContract:
    @pytest.mark.parametrize("sizes", [[], [0], [10], [3, 0, 4, 3], [1] * 2500, [6, 100], [100, 6]])
    @pytest.mark.parametrize("start", [0, 7, 5000])
    def test_scatters_over_buffers(self, store: Store, sizes: list[int], start: int) -> None:
        data = content(2510)
        put(store, "object", data)
        buffers = [bytearray(size) for size in sizes]
        wanted = data[start : start + sum(sizes)]
        assert store.scatter("object", list(map(memoryview, buffers)), start=start) == len(wanted)
        assert b"".join(buffers) == wanted + bytes(sum(sizes) - len(wanted))

    def test_scatter_tells_what_is_missing(self, store: Store) -> None:
        with pytest.raises(MissingObject, match="does not exist"):
            store.scatter("nothing", [memoryview(bytearray(4))])

    @pytest.mark.parametrize("size_bytes", [0, 1, 4095, 4096, 4097, MIB + 1])
    def test_what_was_written_is_read(self, store: Store, size_bytes: int) -> None:
        put(store, "folder/object", content(size_bytes))
        assert get(store, "folder/object") == content(size_bytes)
        assert store.stat("folder/object") == ObjectStat("folder/object", size_bytes)

    @pytest.mark.needs("ranges")
    def test_reads_ranges(self, store: Store) -> None:
        data = content(10_000)
        put(store, "object", data)
        assert get(store, "object", start=0, length=1) == data[:1]
        assert get(store, "object", start=1, length=4096) == data[1:4097]
        assert get(store, "object", start=9_999, length=1) == data[9_999:]
        assert get(store, "object", start=5_000) == data[5_000:]
        assert get(store, "object", start=100, length=0) == b""

    def test_a_range_ends_with_the_object(self, store: Store) -> None:
        put(store, "object", b"0123456789")
        assert get(store, "object", start=8, length=100) == b"89"
        assert get(store, "object", start=10, length=5) == b""
        assert get(store, "object", start=11) == b""
        assert get(store, "object", start=10**9, length=10) == b""

    def test_reads_nothing_of_an_empty_object(self, store: Store) -> None:
        assert store.write("empty", []) == 0
        assert get(store, "empty") == b""
        assert get(store, "empty", start=0, length=10) == b""
        assert store.read_into("empty", memoryview(bytearray(4))) == 0
        assert list(store.list()) == [ObjectStat("empty", 0)]

    def test_a_negative_range_is_a_programming_error(self, store: Store) -> None:
        put(store, "object", b"0123")
        with pytest.raises(ValueError, match="a range starts at 0"):
            get(store, "object", start=-1)
        with pytest.raises(ValueError, match="is not negative"):
            get(store, "object", length=-1)

    def test_reads_into_a_buffer(self, store: Store) -> None:
        data = content(3 * MIB)
        put(store, "object", data)
        whole = bytearray(len(data))
        assert store.read_into("object", memoryview(whole)) == len(data)
        assert bytes(whole) == data
        part = bytearray(b"." * 8)
        assert store.read_into("object", memoryview(part)[2:6], start=5) == 4
        assert bytes(part) == b".." + data[5:9] + b".."

    def test_reads_into_a_buffer_past_the_end(self, store: Store) -> None:
        put(store, "object", b"0123456789")
        buffer = bytearray(b"." * 6)
        assert store.read_into("object", memoryview(buffer), start=7) == 3
        assert bytes(buffer) == b"789..."
        assert store.read_into("object", memoryview(buffer), start=10) == 0
        assert store.read_into("object", memoryview(buffer)[:0]) == 0

    def test_writes_from_many_chunks_whose_memory_is_reused(self, store: Store) -> None:
        def chunks() -> Iterator[memoryview]:
            memory = bytearray(MIB)
            for number in range(40):
                memory[:] = bytes([number]) * MIB
                yield memoryview(memory)

        assert store.write("object", chunks()) == 40 * MIB
        with store.read("object") as view:
            assert all(view[n * MIB : (n + 1) * MIB] == bytes([n]) * MIB for n in range(40))

    @pytest.mark.parametrize("seed", range(6))
    def test_writes_small_and_large_chunks_in_their_order(self, store: Store, seed: int) -> None:
        sizes = random.Random(seed).choices([0, 1, 30, 4095, 4096, 4097, 70_000], k=seed * 9)

        def chunks() -> Iterator[memoryview]:
            memory = bytearray(70_000)
            for number, size in enumerate(sizes):
                memory[:size] = bytes([number]) * size
                yield memoryview(memory)[:size]

        assert store.write("mixed", chunks()) == sum(sizes)
        wanted = b"".join(bytes([number]) * size for number, size in enumerate(sizes))
        assert get(store, "mixed") == wanted

    def test_writes_chunks_of_other_types(self, store: Store) -> None:
        numbers = memoryview(content(8_000)).cast("d")
        assert store.write("object", [numbers, memoryview(b""), memoryview(b"end")]) == 8_003
        assert get(store, "object") == content(8_000) + b"end"

    def test_replaces_an_object(self, store: Store) -> None:
        put(store, "object", content(5_000, seed=1))
        put(store, "object", content(3_000, seed=2))
        assert get(store, "object") == content(3_000, seed=2)
        assert keys(store) == ["object"]

    @pytest.mark.parametrize("written_mib", [0, 1, 40])
    def test_a_failing_writer_leaves_the_old_object_and_nothing_else(
        self, store: Store, debris: Callable[[], list[str]], written_mib: int
    ) -> None:
        def broken() -> Iterator[memoryview]:
            for _ in range(written_mib):
                yield memoryview(content(MIB))
            raise RuntimeError("the source broke")

        put(store, "old", b"old")
        with pytest.raises(RuntimeError, match="the source broke"):
            store.write("old", broken())
        with pytest.raises(RuntimeError, match="the source broke"):
            store.write("new/object", broken())
        assert get(store, "old") == b"old"
        assert keys(store) == ["old"]
        assert debris() == []

    def test_readers_see_the_old_or_the_new_object(self, store: Store) -> None:
        versions = [content(2 * MIB, seed) for seed in (1, 2)]
        put(store, "object", versions[0])
        is_over = threading.Event()

        def replace() -> None:
            for turn in range(20):
                put(store, "object", versions[turn % 2])
            is_over.set()

        with ThreadPoolExecutor(1) as writer:
            done = writer.submit(replace)
            while not is_over.is_set():
                with store.read("object") as view:
                    assert any(view == version for version in versions)
            done.result()

    def test_lent_views_stay_intact_while_others_read(self, store: Store) -> None:
        objects = {f"object-{n}": content(200_000, n) for n in range(8)}
        for key, data in objects.items():
            put(store, key, data)
        barrier = threading.Barrier(8)

        def hold_and_compare(key: str) -> bool:
            is_same = True
            for _ in range(10):
                with store.read(key) as view:
                    barrier.wait(60)
                    is_same = is_same and view == objects[key]
            return is_same

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(hold_and_compare, objects))

    def test_slices_that_outlive_the_loan_are_not_overwritten(self, store: Store) -> None:
        put(store, "first", content(100_000, 1))
        put(store, "second", content(100_000, 2))
        with store.read("first") as view:
            kept = view[1000:2000]
        for _ in range(3):
            get(store, "second")
        gc.collect()
        assert kept == content(100_000, 1)[1000:2000]

    def test_a_lent_view_ends_with_the_loan(self, store: Store) -> None:
        put(store, "object", b"0123")
        with store.read("object") as view:
            assert bytes(view) == b"0123"
        with pytest.raises(ValueError, match="released"):
            bytes(view)

    def test_many_threads_write_read_and_delete(self, store: Store) -> None:
        def work(number: int) -> bool:
            key, data = f"folder-{number % 3}/{number}", content(50_000, number)
            put(store, key, data)
            is_same = get(store, key) == data
            store.delete(key)
            return is_same

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(64)))
        assert keys(store) == []

    def test_lists_in_the_order_of_keys(self, store: Store) -> None:
        names = [
            "a-b",
            "a.b",
            "a/b",
            "a/b-c",
            "a/b.d/e",
            "a/z",
            "a0",
            "A",
            "b c/d",
            "b/c",
            "é",
            "z",
        ]
        for name in reversed(names):
            put(store, name, b"x")
        assert keys(store) == sorted(names)
        assert keys(store, "a/") == ["a/b", "a/b-c", "a/b.d/e", "a/z"]
        assert keys(store, "a/b") == ["a/b", "a/b-c", "a/b.d/e"]
        assert keys(store, "a") == ["a-b", "a.b", "a/b", "a/b-c", "a/b.d/e", "a/z", "a0"]
        assert keys(store, "a/b.d/e") == ["a/b.d/e"]
        assert keys(store, "nothing/here") == []
        assert keys(store, "../a") == []

    def test_lists_past_a_thousand(self, store: Store) -> None:
        names = [f"many/{number:05}" for number in range(1_234)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: put(store, name, b"x"), names))
        assert keys(store) == names
        assert keys(store, "many/011") == names[1_100:1_200]
        some = store.list("many/")
        assert [next(some).key for _ in range(3)] == names[:3]

    def test_lists_folders(self, store: Store) -> None:
        assert list(store.folders()) == []
        for name in ["file", "b/1", "b/2/3", "a-b/1", "a/1", "with space/x"]:
            put(store, name, b"x")
        assert list(store.folders()) == ["a", "a-b", "b", "with space"]
        store.delete("b/1")
        store.delete("b/2/3")
        assert list(store.folders()) == ["a", "a-b", "with space"]

    @pytest.mark.needs("odd-names")
    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_odd_names(self, store: Store, name: str) -> None:
        put(store, f"odd/{name}", name.encode())
        assert get(store, f"odd/{name}") == name.encode()
        assert keys(store) == [f"odd/{name}"]
        assert store.stat(f"odd/{name}").size_bytes == len(name.encode())
        store.delete(f"odd/{name}")
        assert keys(store) == []

    @pytest.mark.parametrize("key", BAD_KEYS)
    def test_refuses_keys_that_name_no_object(self, store: Store, key: str) -> None:
        for use in (
            lambda: get(store, key),
            lambda: store.read_into(key, memoryview(bytearray(1))),
            lambda: store.write(key, [memoryview(b"x")]),
            lambda: store.stat(key),
            lambda: store.delete(key),
        ):
            with pytest.raises(InvalidKey, match="cannot name an object"):
                use()
        assert keys(store) == []

    @pytest.mark.needs("multipart")
    def test_large_objects(self, store: Store) -> None:
        data = os.urandom(MIB)
        assert store.write("large", (memoryview(data) for _ in range(64))) == 64 * MIB
        digest = hashlib.sha256(data * 64).digest()
        with store.read("large") as view:
            assert hashlib.sha256(view).digest() == digest
        buffer = bytearray(64 * MIB)
        assert store.read_into("large", memoryview(buffer)) == 64 * MIB
        assert hashlib.sha256(buffer).digest() == digest
        assert get(store, "large", start=40 * MIB - 2, length=4) == data[-2:] + data[:2]

    def test_a_missing_object_is_named(self, store: Store) -> None:
        put(store, "folder/there", b"x")
        for key in ("missing", "folder/missing", "folder", "folder/there/below"):
            for use in (
                lambda key=key: get(store, key),
                lambda key=key: get(store, key, start=1, length=1),
                lambda key=key: get(store, key, length=0),
                lambda key=key: store.read_into(key, memoryview(bytearray(1))),
                lambda key=key: store.stat(key),
            ):
                with pytest.raises(MissingObject, match=key):
                    use()

    def test_deletes(self, store: Store) -> None:
        put(store, "folder/object", b"x")
        put(store, "folder/other", b"x")
        store.delete("folder/object")
        store.delete("folder/object")
        store.delete("never/there")
        assert keys(store) == ["folder/other"]
        with pytest.raises(MissingObject, match="folder/object"):
            store.stat("folder/object")

    def test_a_name_may_become_a_folder_and_back(self, store: Store) -> None:
        put(store, "name", b"x")
        store.delete("name")
        put(store, "name/below", b"y")
        store.delete("name/below")
        put(store, "name", b"z")
        assert keys(store) == ["name"]

    def test_an_empty_folder_is_no_object_and_in_nobodys_way(self, store: Store) -> None:
        store.make_folder("folder")
        store.make_folder("folder")
        assert keys(store) == []
        put(store, "folder/object", b"x")
        store.make_folder("folder")
        assert keys(store) == ["folder/object"]

    def test_another_store_on_the_same_root_sees_the_objects(
        self, store: Store, open_again: Callable[[], Store]
    ) -> None:
        put(store, "folder/object", b"shared")
        assert get(open_again(), "folder/object") == b"shared"
        assert open_again().uri == store.uri

    def test_free_bytes_is_a_size_or_unknown(self, store: Store) -> None:
        free = store.free_bytes()
        assert free is None or free > 0
