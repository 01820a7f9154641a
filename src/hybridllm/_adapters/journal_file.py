"""A journal on disk: locked, read line by line, appended to; see `JournalFile`.

Owns every touch of the file. It never changes a file that is not a journal of ours, and never a line that
is there; a last line without its newline was cut off by a crash, and goes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from hybridllm._adapters.file_lock import locked
from hybridllm._core.bulk.journal_lines import header_line, read_entry, read_header
from hybridllm._core.bulk.journal_state import JournalState
from hybridllm.errors import BulkFileError

_MODE = 0o600  # it holds answers


class JournalFile:
    """One journal; see the protocol.

    Args:
        path: Of the file. It is made, readable by its owner only, if it is not there.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self._path = Path(path)
        self._fd: int | None = None

    def open(self, operation: str) -> JournalState:
        """See `JournalFile.open`."""
        try:
            return self._opened(operation)
        except BaseException:
            self.close()
            raise

    def append(self, lines: bytes) -> None:
        """See `JournalFile.append`."""
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._open_fd, rest) :]
        except OSError as error:
            raise self._trouble("cannot be written", error) from None

    def sync(self) -> None:
        """See `JournalFile.sync`."""
        try:
            (getattr(os, "fdatasync", None) or os.fsync)(self._open_fd)
        except OSError as error:
            raise self._trouble("cannot be written", error) from None

    def read(self, places: Sequence[tuple[int, int]]) -> list[bytes]:
        """See `JournalFile.read`."""
        try:
            return [os.pread(self._open_fd, length, offset) for offset, length in places]
        except OSError as error:
            raise self._trouble("cannot be read", error) from None

    def close(self) -> None:
        """See `JournalFile.close`."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)  # the lock goes with it

    @property
    def _open_fd(self) -> int:
        if self._fd is None:
            raise BulkFileError(f"{self.name}: the journal is closed", path=self.name)
        return self._fd

    def _opened(self, operation: str) -> JournalState:
        try:
            is_new = not self._path.exists()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0)
            self._fd = os.open(self._path, flags, _MODE)
            if not stat.S_ISREG(os.fstat(self._fd).st_mode):
                raise BulkFileError(f"{self.name}: is no regular file", path=self.name)
            self._lock()
            if is_new:
                _sync_folder(self._path.parent)
            return self._read(operation)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            raise self._trouble("cannot be opened", error) from None

    def _lock(self) -> None:
        if not locked(self._open_fd):
            raise BulkFileError(
                f"{self.name}: another process is at work with this journal; wait until it has ended, or "
                "give this job a journal of its own",
                path=self.name,
            )

    def _read(self, operation: str) -> JournalState:
        header, state = header_line(operation), JournalState()
        offset = number = 0
        with os.fdopen(os.dup(self._open_fd), "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    if number == 1 and not header.startswith(line):
                        self._header(line)
                    break
                if number == 1:
                    self._of(operation, self._header(line))
                else:
                    self._entry(state, line, number=number, offset=offset)
                offset += len(line)
        os.ftruncate(self._open_fd, offset)  # a torn last line
        if offset == 0:
            self.append(header)
        return state

    def _header(self, line: bytes) -> str:
        try:
            return read_header(line)
        except ValueError as error:
            raise BulkFileError(f"{self.name}:1: {error}", path=self.name, line=1) from None

    def _of(self, operation: str, found: str) -> None:
        if found != operation:
            raise BulkFileError(
                f"{self.name}: the journal is of {found}, this job is of {operation}; give it a journal "
                "of its own",
                path=self.name,
            )

    def _entry(self, state: JournalState, line: bytes, *, number: int, offset: int) -> None:
        try:
            state.add(read_entry(line), offset=offset, length=len(line))
        except ValueError as error:
            raise BulkFileError(
                f"{self.name}:{number}: {error}; the journal is damaged, and nothing was sent. Move it away "
                "to begin anew (what it says is answered would be paid for again)",
                path=self.name,
                line=number,
            ) from None

    def _trouble(self, what: str, error: Exception) -> BulkFileError:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        return BulkFileError(f"{self.name}: {what}: {why}", path=self.name)


def _sync_folder(folder: Path) -> None:
    """Have the name of a new file outlive the machine; not every file system can."""
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass
    finally:
        os.close(fd)
