"""A policy file that is read again and again: what it looks like, what is in it, what it came to.

Owns every look at the disk after the first, and a small memory: going back to a content that was loaded
a moment ago, under the same variables, gives the same `Policy` object at once. Called in a thread, one
call at a time. Knows nothing of tasks or clocks; who waits between two looks is the reloader.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hybridllm._adapters.environment import Environment, environment_of
from hybridllm._adapters.policy_files import load_policy_text, tests_path
from hybridllm._core.policy.problems import Problem
from hybridllm._runtime.source import Glimpse, Taken
from hybridllm.errors import PolicyError

if TYPE_CHECKING:
    from hybridllm._core.policy.compiled import Policy

REMEMBERED_MAX = 6
_BYTES_READ_MAX = 2_097_152  # more than the loader takes, so that it tells of a file too large


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What a content came to, and under which variables."""

    glimpsed: str
    variables: tuple[str, ...]
    values: str
    taken: Taken


class PolicyFile:
    """A policy file, and `NAME.test.yaml` beside it. See `PolicySource`.

    Args:
        path: Of the file. A symbolic link is followed anew at each look; a relative path stays relative to
            where the process stood when this was made.
        environ: Variables for `${NAME}` and keys. Default: those of this process.
        environment: Goes before the `environment` that the file says.

    Attributes:
        file: The path as it was given.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        environ: Mapping[str, str] | None = None,
        environment: str | None = None,
    ) -> None:
        self.file = str(path)
        self._path = Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow the links for good
        self._tests = tests_path(self._path)
        self._tests_name = str(Path(path).parent / self._tests.name)
        self._environ = environment_of(environ)
        self._environment = environment
        self._memory: list[_Remembered] = []  # the latest first
        self._salt = os.urandom(16)

    def first(self) -> tuple[Policy, Taken]:
        """Load it as it stands now, for a router that has no policy yet.

        Returns:
            The policy, and what tells its content from others; that does not keep the policy alive.

        Raises:
            PolicyError: With every problem found.
        """
        # A pipe of the shell, `<(...)`, has its writer already, and can be read once.
        of_the_shell = self._path.parts[:3] == ("/", "dev", "fd")
        taken = self._loaded(self._glimpse(pipes=of_the_shell))
        if taken.policy is None:
            raise taken.error or PolicyError(self.file, ())
        return taken.policy, Taken(taken.content, taken.look)

    def look(self) -> tuple[int, ...] | None:
        """See `PolicySource.look`."""
        look = _look(self._path)
        return None if look is None else look + (_look(self._tests) or ())

    def take(self, seen: Glimpse | None) -> Taken | Glimpse:
        """See `PolicySource.take`."""
        glimpse = self._glimpse()
        known = self._known(glimpse)
        if known is not None:
            return known
        return self._loaded(glimpse) if glimpse == seen else glimpse

    def _glimpse(self, *, pipes: bool = False) -> Glimpse:
        look = self.look()
        try:
            data = _content(self._path, pipes=pipes)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
            trouble = (error.strerror if isinstance(error, OSError) else None) or str(error)
            stays = isinstance(
                error, IsADirectoryError | _NoRegularFile
            )  # until somebody replaces it
            return Glimpse(None, None, trouble, look if stays else None)
        try:
            tests = _content(self._tests)
        except FileNotFoundError:
            tests = None
        except OSError as error:
            return Glimpse(None, None, f"{self._tests_name}: {error.strerror}", look)
        return Glimpse(data, tests, None, look)

    def _known(self, glimpse: Glimpse) -> Taken | None:
        """Return what this content came to before, if nothing that it depends on has changed."""
        glimpsed = self._glimpsed(glimpse)
        for place, one in enumerate(self._memory):
            if one.glimpsed == glimpsed and one.values == self._values(one.variables):
                self._memory.insert(0, self._memory.pop(place))
                taken = one.taken
                return Taken(taken.content, glimpse.look, taken.policy, taken.error)
        return None

    def _loaded(self, glimpse: Glimpse) -> Taken:
        glimpsed = self._glimpsed(glimpse)
        if glimpse.data is None:
            problem = Problem(self.file, 0, 1, "", f"cannot be read: {glimpse.trouble}")
            return Taken(glimpsed, glimpse.look, error=PolicyError(self.file, (problem,)))
        reads = _Reads(self._environ)
        policy, error = None, None
        try:
            policy, _ = load_policy_text(
                glimpse.data,
                source=self.file,
                name=self._path.stem,
                environ=reads,
                environment=self._environment,
                tests=glimpse.tests,
                tests_source=self._tests_name,
            )
        except PolicyError as wrong:
            error = PolicyError(wrong.source, wrong.problems)  # without frames: they hold the text
        else:
            # A key that was exchanged is a change, too: whoever asks for a reload wants the new one.
            reads.note(backend.api_key_env for backend in policy.backends.values())
        variables = reads.names
        values = self._values(variables)
        taken = Taken(self._digest(glimpsed, values), glimpse.look, policy, error)
        self._memory.insert(0, _Remembered(glimpsed, variables, values, taken))
        del self._memory[REMEMBERED_MAX:]
        return taken

    def _glimpsed(self, glimpse: Glimpse) -> str:
        files = [
            None if part is None else hashlib.sha256(part).hexdigest()
            for part in (glimpse.data, glimpse.tests)
        ]
        return self._digest(*[digest or "-" for digest in files], glimpse.trouble or "")

    def _values(self, names: Iterable[str]) -> str:
        """A digest of what these variables hold now. Salted: some of them hold keys."""
        found = (self._environ.get(name) for name in names)
        return self._digest(*["-" if value is None else f"={value}" for value in found])

    def _digest(self, *parts: str) -> str:
        joined = "\0".join(parts).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(joined, key=self._salt, digest_size=16).hexdigest()


class _Reads(Environment):
    """An environment that knows which of its variables were asked for, set or not."""

    __slots__ = ("_asked",)

    def __init__(self, variables: Mapping[str, str]) -> None:
        super().__init__(variables)
        self._asked: dict[str, None] = {}

    def __getitem__(self, name: str) -> str:
        self._asked[name] = None
        return super().__getitem__(name)

    def note(self, names: Iterable[str | None]) -> None:
        """Have these asked for, too."""
        self._asked |= dict.fromkeys(name for name in names if name is not None)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._asked))


class _NoRegularFile(OSError):
    """A pipe, a socket, a device: to open or read one may take forever."""


def _content(path: Path, *, pipes: bool = False) -> bytes:
    mode = path.stat().st_mode
    if not (pipes and stat.S_ISFIFO(mode)) and not (
        stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    ):  # opening a directory fails at once
        raise _NoRegularFile(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        return file.read(_BYTES_READ_MAX)


def _look(path: Path) -> tuple[int, ...] | None:
    """Where the path leads and when that was last touched; a swapped link leads to another inode."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
