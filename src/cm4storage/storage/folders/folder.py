"""What all stores over a folder share: everything but how the bytes of a file are moved."""

# Making a Path costs more than reading a small file.
# ruff: noqa: PTH108, PTH106, PTH112, PTH116, PTH120

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from cm4storage.core.errors import StorageFault
from cm4storage.storage.buffers import BufferPool
from cm4storage.storage.file_faults import file_fault
from cm4storage.storage.folders import file_leftovers
from cm4storage.storage.folders.file_access import (
    ABSENT,
    check_regular,
    existing_folder,
    read_fault,
)
from cm4storage.storage.folders.file_listing import list_files, list_folders
from cm4storage.storage.folders.new_file import (
    NamedFiles,
    UnnamedFiles,
    folder_of,
    in_folder,
    make_folder,
)
from cm4storage.storage.keys import check_key
from cm4storage.storage.store import ObjectStat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cm4storage.core.errors import StorageBenchmarkError
    from cm4storage.storage.folders.new_file import NewFile


class FolderStore(ABC):
    """A `Store` over a folder, which is made by the first write.

    Parameters
    ----------
    root : Path
        The folder, absolute.
    fsync : bool
        Make each written file and its folder entry durable before `write` returns.
    pool : BufferPool, optional
        The memory that `read` lends.
    """

    scheme: ClassVar[str]
    write_flags: ClassVar[int] = os.O_WRONLY | os.O_CLOEXEC

    def __init__(self, root: Path, *, fsync: bool = False, pool: BufferPool | None = None) -> None:
        self._root = os.fspath(root)
        self._fsync = fsync
        self._new_files = NamedFiles() if fsync else UnnamedFiles()
        self._pool = pool or BufferPool()
        self._uri = f"{self.scheme}://{quote(self._root)}"
        self._swept_folders: set[str] = set()
        self._has_synced_above = False

    @property
    def uri(self) -> str:
        """The folder as a URI."""
        return self._uri

    @abstractmethod
    def read(
        self, key: str, *, start: int = 0, length: int | None = None
    ) -> AbstractContextManager[memoryview]:
        """Lend a range of a file in a pooled buffer; see `Store.read`."""

    @abstractmethod
    def read_into(self, key: str, buffer: memoryview, *, start: int = 0) -> int:
        """Fill `buffer` from byte `start` on; see `Store.read_into`."""

    @abstractmethod
    def scatter(self, key: str, buffers: Sequence[memoryview], *, start: int = 0) -> int:
        """Fill `buffers` from byte `start` on; see `Store.scatter`."""

    @abstractmethod
    def _write_chunks(self, descriptor: int, chunks: Iterable[memoryview], path: str) -> int:
        """Write all chunks to a new file, and return their size."""

    def _create_fault(self, error: OSError, path: str) -> StorageBenchmarkError:
        return file_fault(error, "create the object", path)

    def write(self, key: str, chunks: Iterable[memoryview]) -> int:
        """Write a file that appears when it is complete; see `new_file` and `Store.write`.

        The first write to a folder removes what killed writers left there.
        """
        path = self._path(key)
        folder = folder_of(path)
        file = self._create(path)
        try:
            if folder not in self._swept_folders:
                self._swept_folders.add(folder)
                file_leftovers.sweep(folder, os.fstat(file.descriptor).st_mtime)
            size_bytes = self._write_chunks(file.descriptor, chunks, path)
            self._sync(file.descriptor, path)
            _complete(file, path)
        except BaseException:
            file.discard()
            raise
        self._sync_folder(folder)
        return size_bytes

    def local_path(self, key: str) -> str:
        """Return the path of a file."""
        return self._path(key)

    @property
    def retries(self) -> int:
        """None: what a file system refuses, it refuses."""
        return 0

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the files whose key starts with `prefix`; see `Store.list`."""
        return list_files(self._root, prefix)

    def folders(self) -> Iterator[str]:
        """Yield the names of the folders below the root that hold files; see `Store.folders`."""
        return list_folders(self._root)

    def stat(self, key: str) -> ObjectStat:
        """Return one file's size."""
        path = self._path(key)
        try:
            status = os.stat(path)
        except OSError as error:
            raise read_fault(error, "look at the object", path) from error
        check_regular(status, path)
        return ObjectStat(key, status.st_size)

    def delete(self, key: str) -> None:
        """Remove one file, and the folders below the root that it leaves empty."""
        path = self._path(key)
        try:
            os.unlink(path)
        except OSError as error:
            if error.errno in ABSENT or os.path.isdir(path):
                return
            raise file_fault(error, "delete the object", path) from error
        self._remove_empty_folders(os.path.dirname(path))

    def make_folder(self, key: str) -> None:
        """See `Store.make_folder`."""
        self._make_folder(self._path(key))

    def free_bytes(self) -> int:
        """Return what this user may still write on the root's file system."""
        path = existing_folder(self._root)
        try:
            status = os.statvfs(path)
        except OSError as error:
            raise file_fault(error, "ask for the free space", path) from error
        return status.f_bavail * status.f_frsize

    def close(self) -> None:
        """Give the pooled memory back."""
        self._pool.clear()

    def _path(self, key: str) -> str:
        check_key(key, self._uri)
        return f"{self._root}/{key}"

    def _create(self, path: str) -> NewFile:
        """Create the file that is to be `path`, and its folder where that is missing."""
        try:
            return in_folder(
                lambda: self._new_files.create(path, self.write_flags),
                lambda: self._make_folder(folder_of(path)),
            )
        except OSError as error:
            raise self._create_fault(error, path) from error

    def _make_folder(self, folder: str) -> None:
        """Make a folder and those above it; with `fsync` their entries become durable, too."""
        entries = _missing_entries(folder) if self._fsync else []
        try:
            make_folder(folder)
        except OSError as error:
            raise file_fault(error, "make the folder", folder) from error
        for parent in entries:
            self._sync_folder(parent)
        if self._fsync and not self._has_synced_above:
            self._has_synced_above = True
            self._sync_above()

    def _sync_above(self) -> None:
        """Make the root's entry and those above it durable: others may just have made them.

        Folders that this user may not open were made by somebody else, and before.
        """
        folder = self._root
        while not os.path.ismount(folder):
            folder = os.path.dirname(folder)
            with contextlib.suppress(StorageFault):
                self._sync_folder(folder)

    def _sync(self, descriptor: int, path: str) -> None:
        if not self._fsync:
            return
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise file_fault(error, "sync the object", path) from error

    def _sync_folder(self, folder: str) -> None:
        if not self._fsync:
            return
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # a delete removed it, and with it what was to last
        except OSError as error:
            raise file_fault(error, "sync the folder", folder) from error
        try:
            self._sync(descriptor, folder)
        finally:
            os.close(descriptor)

    def _remove_empty_folders(self, folder: str) -> None:
        with contextlib.suppress(OSError):
            while len(folder) > len(self._root):
                os.rmdir(folder)
                folder = os.path.dirname(folder)


def _missing_entries(folder: str) -> list[str]:
    """Return the folders that get an entry when `folder` is made, the lowest first."""
    parents = []
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
        parents.append(folder)
    return parents


def _complete(file: NewFile, path: str) -> None:
    try:
        file.complete()
    except OSError as error:
        raise file_fault(error, "put the object in place", path) from error
