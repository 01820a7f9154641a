"""Runs the blocks of one page: steps as JSON on standard input, what they print as JSON on standard output.

A process of its own, so that a page may install a tracer provider or set variables. Reaches nothing
but this machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import sys
from typing import Any

_LOOPBACK = ("127.", "::1", "localhost", "/", "\0")


def _refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("socket.connect", "socket.sendto"):
        return
    address = arguments[-1]
    host = address[0] if isinstance(address, tuple) else address
    if isinstance(host, str) and host and not host.startswith(_LOOPBACK):
        raise PermissionError(f"a page may not reach {address!r}: only loopback")


class _Shell:
    """As much of a shell as the pages need: `hybridllm`, `export NAME=value`, `echo $?`, `cat file`."""

    def __init__(self) -> None:
        self._status = 0

    def typed(self, line: str) -> str:
        """Return what a command prints, standard error included."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            self._do(line)
        return printed.getvalue()

    def _do(self, line: str) -> None:
        name, *arguments = shlex.split(line, comments=True)
        if name == "hybridllm":
            self._hybridllm(arguments)
        elif name == "export":
            for argument in arguments:
                variable, _, value = argument.partition("=")
                os.environ[variable] = value  # noqa: TID251 - what `export` does
        elif line == "echo $?":
            sys.stdout.write(f"{self._status}\n")
        else:
            raise ValueError(
                f"a page types {line!r}; only hybridllm, export and `echo $?` are known"
            )

    def _hybridllm(self, arguments: list[str]) -> None:
        from hybridllm.__main__ import main

        typed, sys.argv = sys.argv, ["hybridllm", *arguments]
        try:
            main()
        except SystemExit as left:
            self._status = left.code if isinstance(left.code, int) else int(left.code is not None)
        finally:
            sys.argv = typed


def _typed(shell: _Shell, block: str) -> str:
    """Return the block as a terminal would show it; an empty line parts a command from output above it."""
    shown: list[str] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            if shown and not shown[-1].startswith("$ "):
                shown.append("")
            shown.append(line)
            shown += shell.typed(line[2:]).rstrip("\n").splitlines()
    return "\n".join(shown) + "\n"


def _executed(page: str, line: int, code: str) -> str:
    """Return what a block prints. Its lines are numbered as in the page."""
    printed = io.StringIO()
    compiled = compile("\n" * line + code, page, "exec")
    with contextlib.redirect_stdout(printed):
        exec(compiled, {"__name__": "__main__"})  # noqa: S102 - that is what a page's code is for
    return printed.getvalue()


def main() -> None:
    """Run every step."""
    sys.addaudithook(_refuse_the_network)
    page, shell = sys.argv[1], _Shell()
    outputs = {}
    for step in json.load(sys.stdin):
        line, kind, text = step["line"], step["kind"], step["text"]
        if kind == "console":
            outputs[line] = _typed(shell, text)
        else:
            outputs[line] = _executed(page, line, text)
    json.dump(outputs, sys.stdout)


if __name__ == "__main__":
    main()
