"""The ledger's journal on disk: segments in a folder, each locked by the process that writes it.

A segment's name says nothing; whether its owner lives is told by its lock, which goes with the process,
however that ends. A last line that a crash cut off is known by its missing newline.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from hybridllm._adapters.file_lock import locked
from hybridllm._core.ledger.lines import HEADER, Lines, read_lines
from hybridllm._runtime.ledger.ports import LedgerStoreError

_MODE, _FOLDER_MODE = 0o600, 0o700  # they name tenants
_ENDING, _DAMAGED = ".rows", ".damaged"


class SegmentFile:
    """See `Segment`."""

    def __init__(self, path: Path, fd: int) -> None:
        self.name = str(path)
        self.size = 0
        self._path = path
        self._fd = fd

    def append(self, lines: bytes) -> None:
        """See `Segment.append`."""
        written = os.write(self._fd, lines)
        self.size += written
        if written < len(lines):
            raise OSError(None, "the disk took a part of it only")

    def read(self) -> Lines:
        """See `Segment.read`."""
        try:
            with self._path.open("rb") as file:
                first = file.readline()
                if first != HEADER:
                    return Lines(torn=HEADER.startswith(first), damaged=int(first.endswith(b"\n")))
                return read_lines(file)
        except OSError as error:
            raise _trouble(self._path, "cannot be read", error) from None

    def sync(self) -> None:
        """See `Segment.sync`."""
        (getattr(os, "fdatasync", None) or os.fsync)(self._fd)

    def drop(self) -> None:
        """See `Segment.drop`."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.close()

    def set_aside(self) -> None:
        """See `Segment.set_aside`."""
        with suppress(OSError):
            self._path.rename(self._path.with_suffix(_DAMAGED))
        self.close()

    def close(self) -> None:
        """See `Segment.close`."""
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
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
                segment = SegmentFile(path, os.open(path, flags, _MODE))
                if locked(segment._fd):  # noqa: SLF001 - its maker
                    break
                segment.close()  # another process looked at it just now, and removes it
        except OSError as error:
            raise _trouble(self._folder, "cannot be written", error) from None
        try:
            segment.append(HEADER)
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
