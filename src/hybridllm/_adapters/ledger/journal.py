"""The ledger's journal on disk: segments in a folder, each locked by the process that writes it.

A segment is mapped into memory, so that a line is written by copying it: no system call, for each would hand
Python's lock to another thread and cost more than the rest of the row. What is in the map is the kernel's,
and survives the process. Its blocks are allocated when it is made, so that a full disk is met there and not
in the event loop. A segment's name says nothing; whether its owner lives is told by its lock, which goes with
the process, however that ends.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hybridllm._adapters.file_lock import locked
from hybridllm._core.ledger.lines import HEADER, Lines, read_lines
from hybridllm._runtime.ledger.ports import LedgerStoreError

SEGMENT_BYTES = 2 * 2**20
_MODE, _FOLDER_MODE = 0o600, 0o700  # they name tenants
_ENDING, _DAMAGED = ".rows", ".damaged"
_NOT_BY_CALL = (
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
)  # this file system allocates by writing only


class SegmentFile:
    """See `Segment`."""

    def __init__(self, path: Path, fd: int) -> None:
        self.name = str(path)
        self.size = 0
        self._path = path
        self._fd = fd
        self._map: mmap.mmap | None = None
        self._mapped = 0

    @property
    def fullness(self) -> float:
        """See `Segment.fullness`."""
        return self.size / SEGMENT_BYTES

    def allocate(self) -> None:
        """Take its place on the disk, and map it.

        Raises:
            OSError: If the disk has no room.
        """
        try:
            os.posix_fallocate(self._fd, 0, SEGMENT_BYTES)
        except OSError as error:
            if error.errno not in _NOT_BY_CALL:
                raise
            os.pwrite(self._fd, bytes(SEGMENT_BYTES), 0)
        self._map, self._mapped = mmap.mmap(self._fd, SEGMENT_BYTES), SEGMENT_BYTES
        self.append(HEADER)

    def append(self, lines: bytes) -> None:
        """See `Segment.append`."""
        begin = self.size
        end = begin + len(lines)
        if self._map is not None and end <= self._mapped:
            self._map[begin:end] = lines
        else:  # the thread was too late with the next one
            begin = max(begin, self._mapped)
            end = begin + len(lines)
            if os.pwrite(self._fd, lines, begin) < len(lines):
                raise OSError(None, "the disk took a part of it only")
            self._mapped = 0
        self.size = end

    def read(self) -> Lines:
        """See `Segment.read`."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            raise _trouble(self._path, "cannot be read", error) from None
        *lines, rest = data.split(b"\n")
        lines = [line.lstrip(b"\0") for line in lines]
        torn = bool(rest.strip(b"\0"))
        if not lines or lines[0] + b"\n" != HEADER:
            return Lines(torn=torn, damaged=len(lines))
        found = read_lines(lines[1:])
        found.torn = torn
        return found

    def sync(self) -> None:
        """See `Segment.sync`."""
        (getattr(os, "fdatasync", None) or os.fsync)(self._fd)  # of what is mapped, too

    def drop(self) -> None:
        """See `Segment.drop`."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self._unmap()

    def set_aside(self) -> None:
        """See `Segment.set_aside`."""
        with suppress(OSError):
            self._path.rename(self._path.with_suffix(_DAMAGED))
        self._unmap()

    def close(self) -> None:
        """See `Segment.close`."""
        mapped = self._map is not None
        if mapped and self._fd >= 0:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)  # what was allocated and is not needed
        self._unmap()

    def forsake(self) -> None:
        """See `Segment.forsake`."""
        self._unmap()

    def _unmap(self) -> None:
        mapped, self._map = self._map, None
        if mapped is not None:
            mapped.close()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)


class JournalFolder:
    """See `Journal`.

    Args:
        folder: Made when it is needed, for its owner only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def opened(self) -> SegmentFile:
        """See `Journal.opened`."""
        try:
            self._folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            while True:
                path = self._folder / f"{os.urandom(8).hex()}{_ENDING}"
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
                segment = SegmentFile(path, os.open(path, flags, _MODE))
                if locked(segment._fd):  # noqa: SLF001 - its maker
                    break
                segment.close()  # another process looked at it just now, and removes it
        except OSError as error:
            raise _trouble(self._folder, "cannot be written", error) from None
        try:
            segment.allocate()
        except OSError as error:
            segment.drop()
            raise _trouble(self._folder, "cannot be written", error) from None
        return segment

    def orphans(self) -> Iterator[SegmentFile]:
        """See `Journal.orphans`."""
        try:
            paths = sorted(self._folder.glob(f"*{_ENDING}"))
        except OSError as error:
            raise _trouble(self._folder, "cannot be read", error) from None
        for path in paths:
            try:
                fd = os.open(path, os.O_RDWR)
            except OSError:  # somebody else has taken it over
                continue
            segment = SegmentFile(path, fd)
            if locked(fd) and os.fstat(fd).st_nlink:
                yield segment
            else:
                segment.close()


def _trouble(path: Path, what: str, error: OSError) -> LedgerStoreError:
    return LedgerStoreError(f"{path} {what}: {error.strerror or type(error).__name__}")


def waiting_segments(folder: Path | None) -> list[Path]:
    """Return the segments of a journal; None: it is not known where that is."""
    return [] if folder is None else sorted(folder.glob(f"*{_ENDING}"))


def damaged_segments(folder: Path | None) -> list[Path]:
    """Return the segments that were set aside."""
    return [] if folder is None else sorted(folder.glob(f"*{_DAMAGED}"))
