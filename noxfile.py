"""Everything that must hold before a change lands: `nox` runs it all, `nox -s tests` one part.

Each session has a virtual environment of its own, kept between runs. The versions of tools are those of
the dependency groups in pyproject.toml.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "docs", "build", "tests"]
nox.options.reuse_existing_virtualenvs = True
nox.options.stop_on_first_error = True

PROJECT = nox.project.load_toml("pyproject.toml")
PATHS = ("src", "tests", "examples", "benchmarks", "docs", "noxfile.py")
WITHOUT_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "")


def installed(session: nox.Session, *groups: str) -> None:
    """Install the package with every extra, and the named dependency groups."""
    session.install("-e", ".[cli,otel]", *nox.project.dependency_groups(PROJECT, *groups))


@nox.session
def lint(session: nox.Session) -> None:
    """Style and the rules of pyproject.toml."""
    session.install("ruff>=0.12")
    session.run("ruff", "check", *PATHS)
    session.run("ruff", "format", "--check", *PATHS)


@nox.session
def types(session: nox.Session) -> None:
    """Mypy strict over the package; pyright over the public API as its users see it."""
    installed(session, "test", "types")
    session.run("mypy")
    session.run("mypy", "tests/typing/api.py")
    session.run("pyright", "tests/typing")


@nox.session
def docs(session: nox.Session) -> None:
    """The site, with every warning an error."""
    installed(session, "docs")
    session.run("mkdocs", "build", "--strict", "--quiet", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def build(session: nox.Session) -> None:
    """The wheel, in a clean environment: it imports, holds what it needs, and its demo runs."""
    session.install("build>=1.2")
    here = Path(session.create_tmp()).resolve()
    out = here / "dist"
    session.run("python", "-m", "build", "--wheel", "--outdir", str(out), silent=True)
    wheel = max(out.glob("*.whl"), key=os.path.getmtime)
    clean = here / "clean"
    session.run("python", "-m", "venv", "--clear", str(clean))
    python = str(clean / "bin" / "python")
    session.run(python, "-m", "pip", "install", "-q", f"{wheel}[cli]", external=True)
    with session.chdir(here):
        session.run(python, "-m", "hybridllm", "--version", external=True)
        session.run(
            python,
            "-m",
            "hybridllm",
            "demo",
            "--requests",
            "40",
            "--plain",
            external=True,
            silent=True,
        )


@nox.session
def tests(session: nox.Session) -> None:
    """Every test; documentation and examples are among them."""
    installed(session, "test")
    session.run("pytest", *session.posargs, env=WITHOUT_PROXY)


@nox.session(default=False)
def benchmarks(session: nox.Session) -> None:
    """Side by side with raw aiohttp, openai, litellm and TensorZero; takes about ten minutes."""
    installed(session, "test")
    session.run("python", "benchmarks/run.py", *session.posargs)


@nox.session(default=False)
def survive(session: nox.Session) -> None:
    """Load x faults x seeds in virtual time, and every bar of survival; takes about ten minutes."""
    installed(session, "test")
    session.run("python", "-m", "survive", *session.posargs, env={"PYTHONPATH": "tests"})
