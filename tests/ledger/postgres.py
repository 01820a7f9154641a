"""A real PostgreSQL server on loopback, with a folder of its own, for as long as a block lasts."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTS_S_MAX = 30.0
_LOOK_S = 0.05


def binaries() -> Path | None:
    """Return the folder of the server's programs; None: they are not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@contextmanager
def server(programs: Path) -> Iterator[str]:
    """Yield the URL of a new database."""
    with tempfile.TemporaryDirectory(prefix="hybridllm-pg-") as name:
        folder, options = Path(name), _somebody(Path(name))
        made = ["--auth=trust", "--username=ledger", "--no-sync", "--encoding=UTF8", "--locale=C"]
        data = str(folder / "data")
        _run([str(programs / "initdb"), "-D", data, *made], options)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        words = [f"-p{port}", f"-k{folder}", "-clisten_addresses=127.0.0.1", "-cfsync=off"]
        with (folder / "log").open("wb") as log:
            running = subprocess.Popen(
                [str(programs / "postgres"), "-D", data, *words], stdout=log, stderr=log, **options
            )
        try:
            _wait(port, running, folder / "log")
            yield f"postgresql+psycopg://ledger@127.0.0.1:{port}/postgres"
        finally:
            running.send_signal(signal.SIGINT)
            running.wait()


def _somebody(folder: Path) -> dict[str, Any]:
    """The server refuses to run as root."""
    if os.geteuid():
        return {}
    user = pwd.getpwnam("nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": [], "cwd": str(folder)}


def _run(words: list[str], options: dict[str, Any]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr


def _wait(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(round(STARTS_S_MAX / _LOOK_S)):
        assert running.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        if b"ready to accept" in log.read_bytes():
            return
        time.sleep(_LOOK_S)
    raise AssertionError(
        f"PostgreSQL did not start on port {port}: {log.read_text(encoding='utf-8')}"
    )
