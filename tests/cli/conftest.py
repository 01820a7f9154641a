"""The command line as its users meet it: a runner in this process, and the real thing in another."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hybridllm.cli.app import app_with

KEY = "sk-simulated-000000"
POLICY = """\
version: 1
environment: production
default_residency: public
backends:
  us:
    kind: api
    base_url: https://us.example.com/v1
    api_key_env: EXAMPLE_KEY
    region: us
    operator: third_party
    retention: 30d
  eu:
    kind: api
    base_url: https://eu.example.com/v1
    api_key_env: EXAMPLE_KEY
    region: eu
    operator: third_party
    retention: none
  own:
    kind: vllm
    base_url: http://127.0.0.1:8000/v1
    region: eu
    operator: self
    retention: none
models:
  small:
    context: 32K
    price: {input_per_1m: 0.01, output_per_1m: 0.02}
    on: {us: small, eu: small}
  large:
    context: 8K
    capabilities: [tools, vision]
    on:
      us: {name: large-v2, price: {input_per_1m: 1.50, output_per_1m: 4}}
      own: {name: Org/Large, price: free}
residency:
  public: {}
  eu: {regions: [eu]}
  phi: {regions: [eu], operators: [self], retention: [none]}
tasks:
  classify: {bucket: bandwidth}
  review: {bucket: judgment}
routes:
  - name: cheap
    when: {task: classify}
    use: [small]
    fallbacks: [large]
  - name: default
    use: [large]
"""


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A policy of two hosted regions and one vLLM."""
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def hybridllm() -> Callable[..., Result]:
    """Run the command line in this process."""

    def run(
        *args: object, stdin: str | None = None, environ: dict[str, str] | None = None
    ) -> Result:
        runner = CliRunner(env={"EXAMPLE_KEY": KEY, **(environ or {})})
        return runner.invoke(app_with(), [str(arg) for arg in args], input=stdin)

    return run


def run_process(*args: object, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line, or `code`, in a process of its own."""
    start = ["-c", code] if code is not None else ["-m", "hybridllm"]
    return subprocess.run(
        [sys.executable, *start, *(str(arg) for arg in args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_in_terminal(*args: object, columns: int = 80) -> tuple[int, str]:
    """Run the command line in a pseudo-terminal; return its exit code and what it wrote."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    # pytest loads `readline`, and that sets both: they would go before the terminal's own size.
    without_size = ["env", "-u", "COLUMNS", "-u", "LINES"]
    with subprocess.Popen(
        [*without_size, sys.executable, "-m", "hybridllm", *(str(arg) for arg in args)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        told = b""
        with contextlib.suppress(OSError):  # Linux: the end of a pseudo-terminal is an error
            while piece := os.read(ours, 65_536):
                told += piece
        os.close(ours)
    return process.returncode, told.decode()
