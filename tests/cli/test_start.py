"""How the command line starts and ends: without what it does not need, and without tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.conftest import run_in_terminal, run_process
from hybridllm import __version__

# `main` ends in SystemExit; what was loaded is told after it.
WATCHED = """
import json, sys
def guard(event, args):
    if event.startswith("socket."):
        raise RuntimeError(f"a socket was used: {event}")
sys.addaudithook(guard)
from hybridllm.__main__ import main
try:
    main()
finally:
    heavy = {"openai", "aiohttp", "httpx", "httpx2", "hybridllm.testing"} & set(sys.modules)
    print(json.dumps(sorted(heavy)), file=sys.stderr)
"""
WITHOUT_TYPER = """
import sys
import time
sys.modules["typer"] = None
from hybridllm.__main__ import main
main()
"""
# As installed: what was imported once is not compiled again, whatever this process was told.
COMPILED_ONCE = """
import sys
sys.dont_write_bytecode = False
from hybridllm.__main__ import main
main()
"""
# Times what loading typer, pydantic and yaml takes, which is 0.2 s where the bar of 0.4 s is measured.
# It is about 2; one more heavy library would make it 4 or more.
START_SHARE_MAX = 3.5
COMMANDS = ("init", "check", "explain", "ask", "models", "demo")


@pytest.mark.parametrize(
    "args", [("check",), ("check", "--json"), ("explain",), ("explain", "--task", "classify")]
)
def test_check_and_explain_load_no_http_client_and_open_no_socket(
    policy_file: Path, args: tuple[str, ...]
) -> None:
    """Neither openai nor aiohttp, nor the simulated backends; not even a name is looked up."""
    command, *options = args
    done = run_process(command, policy_file, *options, code=WATCHED)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert done.stdout


def test_without_typer_the_way_to_install_it_is_told() -> None:
    """The library alone does not bring the command line's dependencies."""
    done = run_process("check", "x.yaml", code=WITHOUT_TYPER)

    assert done.returncode == 2
    assert "pip install 'hybridllm[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_arguments_the_help_is_shown(hybridllm) -> None:
    """Every command and every exit code is in it, and asking for help is no mistake."""
    result = hybridllm()

    assert result.exit_code == 0
    assert all(f"\n  {command} " in result.stdout for command in COMMANDS)
    assert all(f"\n    {code} " in result.stdout for code in (0, 1, 2, 3, 4, 130))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_documents_its_exit_codes(hybridllm, command: str) -> None:
    """So does its own help."""
    result = hybridllm(command, "--help")

    assert result.exit_code == 0
    assert "Exit codes:" in result.stdout
    assert "--json" in result.stdout


def test_the_version_is_that_of_the_package(hybridllm) -> None:
    """`hybridllm --version`."""
    assert hybridllm("--version").stdout == f"hybridllm {__version__}\n"


@pytest.mark.parametrize(
    "args", [("chek",), ("check",), ("check", "x.yaml", "--colour"), ("demo", "--requests", "few")]
)
def test_wrong_usage_ends_with_2(hybridllm, args: tuple[str, ...]) -> None:
    """With a line that says what is wrong."""
    result = hybridllm(*args)

    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_a_closed_pipe_is_no_error_to_talk_about() -> None:
    """`hybridllm models | head -1` ends quietly."""
    command = [sys.executable, "-m", "hybridllm", "models", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()
    assert told == b""


@pytest.mark.parametrize("command", ["check", "explain"])
def test_check_and_explain_start_fast(policy_file: Path, command: str) -> None:
    """Measured against its three libraries, in turn, so that other work on the machine slows both."""
    libraries = ["-c", "import typer, pydantic, yaml; pydantic.BaseModel"]
    whole = ["-c", COMPILED_ONCE, command, str(policy_file)]
    shares: list[float] = []
    while min(shares, default=START_SHARE_MAX) >= START_SHARE_MAX and len(shares) < 5:
        shares.append(_run_s(*whole) / _run_s(*libraries))

    assert min(shares) < START_SHARE_MAX, shares


def _run_s(*args: str) -> float:
    started_s = time.perf_counter()
    subprocess.run([sys.executable, *args], check=True, capture_output=True)
    return time.perf_counter() - started_s


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_for_terminals_that_want_them(
    policy_file: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], coloured: bool
) -> None:
    """In a pseudo-terminal, `NO_COLOR` turns them off."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    code, told = run_in_terminal("check", policy_file)

    assert code == 0
    assert "Backends" in told
    assert ("\x1b[" in told) is coloured
