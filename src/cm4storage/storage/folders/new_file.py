"""New files, which appear under their names when they are complete.

Until then a file has no name at all (``O_TMPFILE`` of open(2), then linkat(2)): whoever is killed
leaves nothing behind, and the writers of one folder wait for each other once a file instead of
twice. Where the file system cannot do that, the file has a temporary name, and is renamed. So it
is with files that are to be durable: a rename after fsync is what all file systems promise.
"""

# Making a Path costs more than making a small file.
# ruff: noqa: PTH103, PTH104, PTH108, PTH116

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from cm4storage.storage.folders import file_leftovers
from cm4storage.storage.keys import TEMPORARY_PREFIX, TEMPORARY_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_CANNOT: Final = frozenset(
    {
        errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES,
        errno.EXDEV, errno.EMLINK,
    }
)  # fmt: skip
"""What a file system or a rule of the system says that has no files without names."""

_MODE: Final = 0o666
_MAKE_FOLDER_ATTEMPTS: Final = 100
# The second is what ext4 says to O_TMPFILE in a folder that was removed an instant ago.
_FOLDER_IS_GONE: Final = frozenset({errno.ENOENT, errno.EPERM})


class NewFile(Protocol):
    """A file that is being written.

    Attributes
    ----------
    descriptor : int
        Open for writing.
    """

    @property
    def descriptor(self) -> int:
        """See the class."""

    def complete(self) -> None:
        """Close the file and put it in place of what has its name.

        Raises
        ------
        OSError
            If that fails; the file remains to be discarded.
        """

    def discard(self) -> None:
        """Close and remove the file unless it is in place."""


class NewFiles(Protocol):
    """Makes new files."""

    def create(self, path: str, flags: int) -> NewFile:
        """Create the file that is to be `path`.

        Raises
        ------
        OSError
            FileNotFoundError if its folder is missing.
        """


class NamedFiles:
    """Makes files with temporary names beside the ones that they will have."""

    def create(self, path: str, flags: int) -> NewFile:
        """See `NewFiles`."""
        return _NamedFile(path, flags)


class UnnamedFiles:
    """Makes files without a name, or with one on those file systems that show that they must.

    The folders of one store may be on several: mounts and symbolic links lead there.
    """

    def __init__(self) -> None:
        self._by_device: dict[int, type[_UnnamedFile | _NamedFile]] = {}
        self._by_folder: dict[str, type[_UnnamedFile | _NamedFile]] = {}

    def create(self, path: str, flags: int) -> NewFile:
        """See `NewFiles`."""
        kind = self._by_folder.get(folder_of(path))
        if kind is None:
            kind = self._learn(path, flags)
        return kind(path, flags)

    def _learn(self, path: str, flags: int) -> type[_UnnamedFile | _NamedFile]:
        """Look which file system the folder is on, and try one that is new with empty files."""
        folder = folder_of(path)
        device = os.stat(folder).st_dev
        kind = self._by_device.get(device)
        if kind is None:
            try:
                kind = _UnnamedFile if _can_be_named_later(path, flags) else _NamedFile
            except FileNotFoundError:
                raise  # the folder has gone with all that was in it
            except OSError:
                return _NamedFile  # too many open files, for one: the next file tries again
            self._by_device[device] = kind
        self._by_folder[folder] = kind
        return kind


def _can_be_named_later(path: str, flags: int) -> bool:
    """Try it beside a file with a name, which keeps a delete from removing the folder."""
    named = _NamedFile(path, flags)
    try:
        unnamed = _UnnamedFile(path, flags)
        try:
            return _has_mode_of(unnamed, named) and _can_be_linked(unnamed, path)
        finally:
            unnamed.discard()
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    finally:
        named.discard()


def _has_mode_of(unnamed: _UnnamedFile, named: _NamedFile) -> bool:
    """Tell whether the umask counts: Linux before 6.0 forgets it where there are no ACLs."""
    return os.fstat(unnamed.descriptor).st_mode == os.fstat(named.descriptor).st_mode


def _can_be_linked(unnamed: _UnnamedFile, path: str) -> bool:
    temporary = _temporary_beside(path)
    try:
        _link(unnamed.descriptor, temporary)
    except FileNotFoundError:
        return False  # there is no /proc
    _remove(temporary)
    return True


class _OpenFile:
    """What both kinds have in common: a descriptor that is closed once."""

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._is_open = True
        self.descriptor = descriptor

    def _close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self.descriptor)


class _NamedFile(_OpenFile):
    def __init__(self, path: str, flags: int) -> None:
        self._temporary = _temporary_beside(path)
        try:
            descriptor = os.open(self._temporary, flags | os.O_CREAT | os.O_EXCL, _MODE)
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                # Linux makes the file before it finds that it cannot be written as asked.
                _remove(self._temporary)
            raise
        super().__init__(path, descriptor)
        file_leftovers.hold(descriptor)

    def complete(self) -> None:
        """See `NewFile`; network file systems say at the close what could not be written."""
        self._close()
        os.rename(self._temporary, self._path)

    def discard(self) -> None:
        """See `NewFile`."""
        self._close()
        _remove(self._temporary)


class _UnnamedFile(_OpenFile):
    def __init__(self, path: str, flags: int) -> None:
        super().__init__(path, _open_unnamed(path, flags))

    def complete(self) -> None:
        """See `NewFile`; the close of a copy tells what that of the file would."""
        os.close(os.dup(self.descriptor))
        try:
            self._link(self._path)
        except FileExistsError:
            self._replace()
        self._close()

    def discard(self) -> None:
        """See `NewFile`."""
        self._close()

    def _replace(self) -> None:
        """Take the place of a file, for which there must be a name that can be renamed."""
        file_leftovers.hold(self.descriptor)
        temporary = _temporary_beside(self._path)
        self._link(temporary)
        try:
            os.rename(temporary, self._path)
        except BaseException:
            _remove(temporary)
            raise

    def _link(self, path: str) -> None:
        """Give the file a name, in a folder that a delete may have removed while it was empty."""
        in_folder(lambda: _link(self.descriptor, path), lambda: make_folder(folder_of(path)))


def in_folder(make: Callable[[], T], make_its_folder: Callable[[], None]) -> T:
    """Return what `make` returns, which may need a folder that is not there yet.

    Deletes may remove the folder again before it is used.

    Parameters
    ----------
    make : callable
        Raises OSError where the folder is missing; is called again then.
    make_its_folder : callable
        Called in between, such as with `make_folder`.

    Raises
    ------
    OSError
        Of `make`; also if the folder is missing time and again.
    """
    for _ in range(_MAKE_FOLDER_ATTEMPTS):
        try:
            return make()
        except OSError as error:
            if error.errno not in _FOLDER_IS_GONE:
                raise
            make_its_folder()
    return make()


def make_folder(folder: str) -> None:
    """Make a folder and those above it, unless a delete or another file is in the way.

    Then it may be missing still: whoever needs it tries again, and meets what is there.

    Raises
    ------
    OSError
    """
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        os.makedirs(folder, exist_ok=True)


def _open_unnamed(path: str, flags: int) -> int:
    return os.open(folder_of(path), flags | os.O_TMPFILE, _MODE)


def _link(descriptor: int, path: str) -> None:
    # With a descriptor Python calls linkat(2), which follows the link; link(2) would link it.
    os.link(f"/proc/self/fd/{descriptor}", path, src_dir_fd=descriptor, follow_symlinks=True)


def folder_of(path: str) -> str:
    """Return what os.path.dirname does, in a sixth of its time: it is asked for each file."""
    return path.rpartition("/")[0]


def _temporary_beside(path: str) -> str:
    name = f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
    return f"{folder_of(path)}/{name}"


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
