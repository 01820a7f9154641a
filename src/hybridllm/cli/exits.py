"""How every command ends, as a number that scripts can rely on."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes, the same for every command; `--help` lists them."""

    OK = 0
    # Problems in a policy, a failed test or request, nobody tells a status, the demo met the unexpected.
    FAILED = 1
    USAGE = 2  # typer's own code for a wrong option; also a file that is not there
    DENIED = 3
    WARNINGS = 4  # only with `check --strict`
    CHANGED = 5  # only with `diff --exit-code` and `prices diff`
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it
    TERMINATED = 143  # 128 + SIGTERM


EXIT_CODES = """\b
Exit codes:
  0    done
  1    problems in the policy, a failed test or request, nobody tells a status, an unexpected end of the demo
  2    wrong usage: an unknown option, a file that is not there or is in the way
  3    the policy denies the request; nothing was sent
  4    `check --strict` found warnings
  5    `diff --exit-code` found that something changes, `prices diff` that a price differs
  130  interrupted with Ctrl-C
  143  ended by SIGTERM; the demo, if that was in good order, ends with 0
"""
