"""A lock on an open file, which goes with the file or with the process, however that ends."""

from __future__ import annotations

import errno

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows: whoever runs two jobs on one file is not told
    fcntl = None  # type: ignore[assignment]

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of this file system


def locked(fd: int) -> bool:
    """Lock a file for this process alone; False if another one has it. Where there are no locks, True.

    Raises:
        OSError: If it cannot be tried.
    """
    if fcntl is None:  # pragma: no cover
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
