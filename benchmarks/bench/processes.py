"""The processes of a run: one upstream, one worker per client, spoken to in JSON lines.

Everything that is started here is ended here, whatever happens in between.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]
SOURCE = HERE.parent / "src"
REPLY_S = 240.0


class WorkerFailed(Exception):
    """A process died, hung, or said that it could not do what it was told."""


def environment(*, ours: bool) -> dict[str, str]:
    """What a worker sees: no proxies, and litellm's price list from its own package."""
    inherited = os.environ  # noqa: TID251  # a child's environment, not a setting of ours
    kept = {key: value for key, value in inherited.items() if not key.lower().endswith("_proxy")}
    path = [str(HERE), str(SOURCE)] if ours else [str(HERE)]
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(path),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_LOG": "ERROR",
    }


class Talker:
    """A child process that answers each JSON line with one JSON line."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self._said = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115  # closed in `end`
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=env
        )
        self._rest = b""

    def _line(self, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        out = self._process.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _, _ = select.select([out], [], [], limit_s)
            piece = os.read(out, 65536) if ready else b""
            if not piece:
                why = "ended" if ready else f"did not answer within {limit_s:.0f} s"
                raise WorkerFailed(f"the process {why}: {self.last_words()}")
            self._rest += piece
        line, self._rest = self._rest.split(b"\n", 1)
        return line

    def hear(self, limit_s: float = REPLY_S) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._line(limit_s))
        if "error" in reply:
            raise WorkerFailed(f"{reply['error']}: {self.last_words()}")
        return reply

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return self.hear()

    def last_words(self) -> str:
        """The last line that the process wrote to stderr."""
        self._said.seek(0)
        said = [line.strip(" |+-") for line in self._said.read().splitlines()]
        lines = [line for line in said if line]
        return lines[-1][:300] if lines else "(silent)"

    def end(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()


class Upstream(Talker):
    """The mock upstream, with the ports that it told."""

    def __init__(self) -> None:
        super().__init__([sys.executable, str(HERE / "upstream.py")], environment(ours=True))
        ports = self.hear(10)
        self.ports = {key: ports[key] for key in ("port", "sick_port", "dead_port")}


class Worker(Talker):
    """A client in a process of its own, open and ready."""

    def __init__(self, upstream: Upstream, client: str, python: Path | None, **spec: Any) -> None:
        spec = {"client": client, **upstream.ports, **spec}
        command = [str(python or sys.executable), str(HERE / "worker.py"), json.dumps(spec)]
        super().__init__(command, environment(ours=python is None))
        try:
            self.versions: dict[str, str] = self.hear(90)["versions"]
        except WorkerFailed:
            self.end()
            raise


@contextmanager
def upstream_running() -> Iterator[Upstream]:
    upstream = Upstream()
    try:
        yield upstream
    finally:
        upstream.end()


@contextmanager
def worker_running(
    upstream: Upstream, client: str, python: Path | None = None, **spec: Any
) -> Iterator[Worker]:
    worker = Worker(upstream, client, python, **spec)
    try:
        yield worker
    finally:
        worker.end()
