"""Runs the blocks of pages: jobs as lines of JSON on standard input, their outputs on standard output.

Each page in a process of its own, so that it may install a tracer provider or set variables: a fork of
this one, which has loaded what takes longer than most pages. Reaches nothing but this machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import signal
import sys
import tempfile
import traceback
from importlib import import_module
from typing import Any

_LOADED = (
    "hybridllm._adapters.aiohttp_wire",
    "hybridllm._adapters.openai_types",
    "hybridllm._adapters.policy_reader",
    "hybridllm._runtime.retry",
    "hybridllm.cli.app",
    "hybridllm.testing",
)
_SECONDS_MAX = 60
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


def _outputs(page: str, steps: list[dict[str, Any]]) -> dict[int, str]:
    """Run every step of a page; return what each printed, by its line."""
    shell = _Shell()
    outputs = {}
    for step in steps:
        line, kind, text = step["line"], step["kind"], step["text"]
        if kind == "console":
            outputs[line] = _typed(shell, text)
        else:
            outputs[line] = _executed(page, line, text)
    return outputs


def _forked(job: dict[str, Any]) -> dict[str, Any]:
    """Run a page in a fork; return its outputs, and what it said on standard error."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as errors:
        child = os.fork()
        if not child:
            signal.alarm(_SECONDS_MAX)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(errors.fileno(), 2)
            os.chdir(job["folder"])
            try:
                json.dump(_outputs(job["page"], job["steps"]), told)
                told.flush()
            except BaseException:  # noqa: BLE001 - nothing may leave the child
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(0)
        os.waitpid(child, 0)
        told.seek(0)
        errors.seek(0)
        return {"outputs": json.loads(told.read() or "null"), "errors": errors.read()}


def main() -> None:
    """Run every page that comes in."""
    sys.addaudithook(_refuse_the_network)
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)  # a page that starts a process does not write among the answers
        for name in _LOADED:
            import_module(name)
        for line in sys.stdin:
            answers.write(json.dumps(_forked(json.loads(line))) + "\n")


if __name__ == "__main__":
    main()
