"""How much memory this process uses."""

from __future__ import annotations

import gc
from pathlib import Path

_PAGE_BYTES = 4096


def rss_mib() -> float:
    """What is resident now, garbage not counted, in MiB. Linux only."""
    gc.collect()
    return _statm(1)


def address_space_mib() -> float:
    """What is mapped now, as RLIMIT_AS counts it, in MiB. Linux only."""
    return _statm(0)


def _statm(field: int) -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[field])
    return pages * _PAGE_BYTES / (1 << 20)
