"""Progress on stderr: one line that is rewritten on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

_began_s = time.perf_counter()


def say(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    print(text, file=sys.stderr, flush=True)


def step(text: str) -> None:
    elapsed_s = time.perf_counter() - _began_s
    line = f"[{elapsed_s:5.0f} s] {text}"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{line[:100]}")
        sys.stderr.flush()
    else:
        print(line, file=sys.stderr, flush=True)
