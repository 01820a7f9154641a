"""The files of a batch on disk: the input read in blocks, the output written beside its place.

Called in a thread. The output is `NAME.part` until it is whole and then takes its place in one step, so
that a file named `NAME` is never half of one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from hybridllm._adapters.file_lock import locked
from hybridllm._core.bulk.batch_input import LINE_BYTES_MAX
from hybridllm.errors import BulkFileError

_BLOCK_BYTES = 1 << 18
_BOM = b"\xef\xbb\xbf"

Line = tuple[int, bytes | None]  # its number from 1, and its content; None: too large


class BatchInput:
    """The lines of a batch file, empty ones left out."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: IO[bytes] | None = None
        self._number = 0

    def open(self) -> int | None:
        """Open it, and return how many lines it has; None if only reading it would tell.

        Raises:
            BulkFileError: If that fails.
        """
        try:
            self._file = self._path.open("rb")
            return _lines_in(self._file) if self._path.is_file() else None
        except (OSError, ValueError) as error:
            raise _trouble(self._path, "cannot be read", error) from None

    def block(self) -> list[Line]:
        """Return the next lines, many at once; none at the end.

        Raises:
            BulkFileError: If that fails.
        """
        lines: list[Line] = []
        read = 0
        try:
            while read < _BLOCK_BYTES and (line := self._line()) is not None:
                text = line[1]
                read += len(text or b"") + 1
                if text is None or text.strip():
                    lines.append(line)
        except OSError as error:
            raise _trouble(self._path, "cannot be read", error) from None
        return lines

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            self._file.close()

    def _line(self) -> Line | None:
        file = self._file
        line = b"" if file is None else file.readline(LINE_BYTES_MAX + 1)
        if not line:
            return None
        self._number += 1
        if self._number == 1:
            line = line.removeprefix(_BOM)
        if len(line) <= LINE_BYTES_MAX:
            return self._number, line
        while not line.endswith(b"\n") and file is not None and line:
            line = file.readline(_BLOCK_BYTES)
        return self._number, None


class BatchOutput:
    """The output of a batch, written beside its place until it is whole."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self.part = part_of(self._path)
        self._file: IO[bytes] | None = None

    def open(self) -> None:
        """Open and lock it, and leave what is in it: whether the journal is ours is not known yet.

        Raises:
            BulkFileError: If that fails, or another process is writing it.
        """
        try:
            file = self._file = self.part.open("ab", buffering=0)
            # The one who had it may have put it in its place meanwhile: then it is no part any more.
            ours = locked(file.fileno()) and _is_at(file, self.part)
        except (OSError, ValueError) as error:
            raise _trouble(self.part, "cannot be written", error) from None
        if not ours:
            raise BulkFileError(
                f"{self.part}: another process is writing this output; wait until it has ended, or name "
                "another output",
                path=str(self.part),
            )

    def begin(self) -> None:
        """Begin it anew: what an earlier run wrote stands in the journal."""
        if self._file is not None:
            self._file.truncate(0)

    def write(self, lines: bytes, *, whole: bool = False) -> None:
        """Write lines; `whole`: they are the last, and the file takes its place.

        Raises:
            BulkFileError: If that fails.
        """
        file, rest = self._file, memoryview(lines)
        if file is None:
            return
        try:
            while rest:
                rest = rest[file.write(rest) :]
            if whole:
                os.fsync(file.fileno())
                self.close()
                self.part.replace(self._path)
        except OSError as error:
            raise _trouble(self.part, "cannot be written", error) from None

    def close(self) -> None:
        """Close it. What was written stays where it is."""
        file, self._file = self._file, None
        if file is not None:
            file.close()


def check_places(source: Path, target: Path, journal: Path, *, resume: bool) -> None:
    """See that nothing that is there would be lost, or paid for again unasked.

    Raises:
        BulkFileError: If so, with what to do.
    """
    if len({Path(os.path.abspath(path)) for path in (source, target, journal)}) < 3:  # noqa: PTH100 - links stay
        raise BulkFileError(
            f"{target}: input, output and journal must be three files", path=str(target)
        )
    part = part_of(target)
    outputs = [target] if target.exists() else []
    if part.is_file() and part.stat().st_size:  # an empty one was opened, and nothing came of it
        outputs.append(part)
    if resume:
        if outputs and not journal.exists():
            raise BulkFileError(
                f"{outputs[0]}: is there, and the journal {journal} is not, so there is nothing to resume; "
                "move the file away to begin anew, or name its journal",
                path=str(outputs[0]),
            )
        return
    there = [journal, *outputs] if journal.exists() else outputs
    if there:
        files = " and ".join(map(str, sorted(there)))
        raise BulkFileError(
            f"{there[0]}: is there already. --resume goes on where the last run ended (and tries again what "
            f"failed); to begin anew, and pay anew, delete {files}",
            path=str(there[0]),
        )


def part_of(target: Path) -> Path:
    """Return where an output is while it is not whole."""
    return target.with_name(target.name + ".part")


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _lines_in(file: IO[bytes]) -> int:
    """Count the lines that hold something; a very long line costs no memory."""
    count, blank = 0, True
    while block := file.read(_BLOCK_BYTES):
        *ended, rest = block.split(b"\n")
        for piece in ended:
            count += not (blank and not piece.strip())
            blank = True
        blank = blank and not rest.strip()
    file.seek(0)
    return count + (not blank)


def _trouble(path: Path, what: str, error: Exception) -> BulkFileError:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return BulkFileError(f"{path}: {what}: {why}", path=str(path))
