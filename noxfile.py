"""Everything that must hold before a change lands: `nox` runs it all, `nox -s tests` one part.

All parts but the wheel's share one virtual environment, kept between runs; what can go on side by side
does, and what each printed is shown when it ends (`nox -j 1` shows it as it comes). The versions of tools
are those of the dependency groups in pyproject.toml.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2026.10"  # sessions side by side
nox.options.sessions = [
    "installed", "build", "types", "public_types", "loading", "lint", "docs", "tests",
]  # fmt: skip
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = True
nox.options.parallel = 2

PROJECT = nox.project.load_toml("pyproject.toml")
PATHS = ("src", "tests", "examples", "benchmarks", "docs", "noxfile.py")
NOX = Path(__file__).resolve().parent / ".nox"
VLLM = NOX / "vllm-server"
VLLM_PINS = Path("tests/real/vllm-server.txt")
VLLM_INSTALL_S_MAX = 720  # behind everything else, as in the CI; 75 s alone
BIN = NOX / "installed" / "bin"
IN_TWO = ("-n", "2", "--dist", "worksteal")
WITHOUT_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "")


def run(session: nox.Session, tool: str, *args: str, silent: bool = False, **environ: str) -> None:
    """Run a tool of the shared environment; if `silent`, what it says is shown only if it fails."""
    env = {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",  # noqa: TID251 - of what is started
        "VIRTUAL_ENV": str(BIN.parent),
        # The command line is started hundreds of times: what it imports is not compiled each time.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    session.run(str(BIN / tool), *args, env=env | environ, external=True, silent=silent)


def install(session: nox.Session, *packages: str, python: str | None = None) -> None:
    """Install with uv, in a tenth of the time; or with pip, where only that finds the packages."""
    session.install("uv")
    python = python or str(Path(session.bin) / "python")
    try:
        session.run("uv", "pip", "install", "-q", "--python", python, *packages)
    except CommandFailed:
        session.run("python", "-m", "pip", "--python", python, "install", "-q", *packages)


@nox.session(allow_parallel=True)
def installed(session: nox.Session) -> None:
    """The environment of the others: the package with every extra, and all tools."""
    groups = nox.project.dependency_groups(PROJECT, "test", "types", "docs", "lint")
    install(session, "-e", ".[cli,otel]", *groups)


@nox.session(venv_backend="none", requires=["installed"], allow_parallel=True)
def lint(session: nox.Session) -> None:
    """Style and the rules of pyproject.toml."""
    run(session, "ruff", "check", *PATHS)
    run(session, "ruff", "format", "--check", *PATHS)


@nox.session(venv_backend="none", requires=["installed"], allow_parallel=True)
def types(session: nox.Session) -> None:
    """Mypy strict over the package, and over the public API as its users see it."""
    run(session, "mypy")
    run(session, "mypy", "tests/typing/api.py")


@nox.session(venv_backend="none", requires=["installed"], allow_parallel=True)
def public_types(session: nox.Session) -> None:
    """Pyright over the public API as its users see it."""
    run(session, "pyright", "tests/typing")


@nox.session(venv_backend="none", requires=["installed"], allow_parallel=True)
def loading(session: nox.Session) -> None:
    """Every file of tests can be loaded. What pytest compiles here, both processes of `tests` find done."""
    run(session, "pytest", "--collect-only", "-qq", silent=True)


@nox.session(venv_backend="none", requires=["installed"], allow_parallel=True)
def docs(session: nox.Session) -> None:
    """The site, with every warning an error."""
    run(session, "mkdocs", "build", "--strict", "--quiet", NO_MKDOCS_2_WARNING="1")


@nox.session(allow_parallel=True)
def build(session: nox.Session) -> None:
    """The wheel, in a clean environment: it imports, holds what it needs, and its demo runs."""
    here = Path(session.create_tmp()).resolve()
    out = here / "dist"
    install(session, "build[uv]>=1.2")
    session.run(
        "python", "-m", "build", "--wheel", "--installer", "uv", "--outdir", str(out), silent=True
    )
    wheel = max(out.glob("*.whl"), key=os.path.getmtime)
    clean = here / "clean"
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(clean))
    python = str(clean / "bin" / "python")
    install(session, f"{wheel}[cli]", python=python)
    with session.chdir(here):
        session.run(python, "-m", "hybridllm", "--version", external=True)
        session.run(
            python,
            "-m",
            "hybridllm",
            "demo",
            "--requests",
            "40",
            "--seconds",
            "3",
            "--plain",
            external=True,
            silent=True,
        )


@nox.session(venv_backend="none", requires=["installed"])
def tests(session: nox.Session) -> None:
    """Every test, in two processes; documentation and examples are among them."""
    run(session, "pytest", *IN_TWO, *session.posargs, **WITHOUT_PROXY)


@nox.session(venv_backend="none", requires=["installed"], default=False)
def benchmarks(session: nox.Session) -> None:
    """Side by side with raw aiohttp, openai, litellm and TensorZero; takes about ten minutes."""
    run(session, "python", "benchmarks/run.py", *session.posargs)


@nox.session(venv_backend="none", requires=["installed"], default=False)
def soak(session: nox.Session) -> None:
    """Ten minutes of traffic through faults of every kind; then nothing may be left."""
    run(session, "python", "-m", "soak", *session.posargs, PYTHONPATH="tests", **WITHOUT_PROXY)


@nox.session(venv_backend="none", requires=["installed"], default=False)
def survive(session: nox.Session) -> None:
    """Load x faults x seeds in virtual time, and every bar of survival; takes about ten minutes."""
    run(session, "python", "-m", "survive", *session.posargs, PYTHONPATH="tests")


@nox.session(venv_backend="none", requires=["installed"], default=False)
def hybrid(session: nox.Session) -> None:
    """Bursts with true and with false metrics, and a cold start, in virtual time; takes a minute."""
    run(session, "python", "-m", "hybrid", *session.posargs, PYTHONPATH="tests")


@nox.session(venv_backend="none", requires=["installed"], default=False)
def mutation(session: nox.Session) -> None:
    """Small mistakes put into the core, one at a time: the tests must notice 85 % of each file's."""
    run(session, "python", "tests/mutation/run.py", *session.posargs)


@nox.session(venv_backend="none", requires=["installed"], default=False)
def proofs(session: nox.Session) -> None:
    """The tests that count cases by the thousand, all of each, where `tests` tries a part."""
    counted = ("--full", "-m", "counted")
    run(session, "pytest", *IN_TWO, *counted, *session.posargs, **WITHOUT_PROXY)


def installed_vllm() -> str:
    """Install a real vLLM for the CPU, unless it is there with these pins; say what failed, if anything did.

    It has an environment of its own, for it pins half of PyPI; 2 GB, in two minutes, kept between runs.
    """
    ready, pins = VLLM / "ready", VLLM_PINS.read_text(encoding="utf-8")
    if ready.exists() and ready.read_text(encoding="utf-8") == pins:
        return ""
    pip = (
        str(VLLM / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-qq",
        "--no-cache-dir",
        "--no-deps",
    )
    for command in (
        (sys.executable, "-m", "venv", "--clear", str(VLLM)),
        (*pip, "-r", str(VLLM_PINS)),
    ):
        try:
            subprocess.run(command, check=True, timeout=VLLM_INSTALL_S_MAX)  # noqa: S603 - as written
        except (OSError, subprocess.SubprocessError) as error:
            why = type(error).__name__
            return f"NO TEST RAN ON A REAL vLLM: it could not be installed ({why}): {shlex.join(command)}"
    ready.write_text(pins, encoding="utf-8")
    return ""


@nox.session(venv_backend="none", default=False)
def vllm_server(session: nox.Session) -> None:
    """Only the installing for `vllm`; so that it can be done beside something else."""
    if problem := installed_vllm():
        session.error(problem)


@nox.session(venv_backend="none", requires=["installed"], default=False)
def vllm(session: nox.Session) -> None:
    """The tests on a real vLLM server with a tiny random model; `-- -m slow`: those that start their own.

    The server is a package of third parties. If it cannot be installed that is said, and fails nothing.
    """
    if problem := installed_vllm():
        session.warn(problem)
        session.skip(problem)
    python, model = VLLM / "bin" / "python", VLLM / "tiny"
    session.run(str(python), "tests/real/make_tiny_model.py", str(model), external=True)
    where = {"VLLM_PYTHON": str(python), "VLLM_MODEL": str(model)}
    run(session, "pytest", "tests/real", *session.posargs, **where, **WITHOUT_PROXY)


def installed_backend(name: str, pin: str) -> Path:
    """Install a tracing backend into an environment of its own, kept between runs; 850 MB, two minutes."""
    home = NOX / "backends" / name
    ready = home / "ready"
    if not ready.exists() or ready.read_text(encoding="utf-8") != pin:
        subprocess.run((sys.executable, "-m", "venv", "--clear", str(home)), check=True)  # noqa: S603
        pip = (str(home / "bin" / "python"), "-m", "pip", "install", "-qq", pin)
        subprocess.run(pip, check=True)  # noqa: S603 - as written
        ready.write_text(pin, encoding="utf-8")
    return home


def unpacked_prometheus() -> Path:
    """Unpack Debian's Prometheus, without installing it."""
    home = NOX / "backends" / "prometheus"
    binary = home / "usr" / "bin" / "prometheus"
    if not binary.exists():
        home.mkdir(parents=True, exist_ok=True)
        apt = ("apt-get", "download", "-qq", "prometheus")
        subprocess.run(apt, cwd=home, check=True)  # noqa: S603 - as written
        (package,) = home.glob("prometheus_*.deb")
        unpack = ("dpkg", "-x", str(package), str(home))
        subprocess.run(unpack, check=True)  # noqa: S603 - as written
        package.unlink()
    return binary


@nox.session(venv_backend="none", requires=["installed"], default=False)
def tracing(session: nox.Session) -> None:
    """MLflow, Phoenix and Prometheus show what the ledger has; `-- --pictures docs`: screenshots anew."""
    run(
        session,
        "python",
        "-m",
        "tracing",
        str(installed_backend("mlflow", "mlflow==3.17.2")),
        str(installed_backend("phoenix", "arize-phoenix==20.26.1")),
        str(unpacked_prometheus()),
        *session.posargs,
        PYTHONPATH="tests",
        **WITHOUT_PROXY,
    )
