"""What holds for every test: the same examples on every run, and nothing but this machine is reached."""

from __future__ import annotations

import gc
import os
import sys

import pytest
from hypothesis import settings

from counted import PartOf
from socket_watch import WATCH, SocketWatch

# No limit per example either: a busy machine would break it at random.
settings.register_profile("hybridllm", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("hybridllm")
# Tests on a real vLLM server have a session of their own, `nox -s vllm`, which says where that server is.
collect_ignore = [] if "VLLM_PYTHON" in os.environ else ["real"]  # noqa: TID251 - of the test run
sys.addaudithook(WATCH.hook)  # for the life of the process: a hook cannot be taken away


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--full`."""
    told = (
        "try every case that a published figure counts, not a part of them; -m counted: only those"
    )
    parser.addoption("--full", action="store_true", help=told)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that try a part, for `-m counted`."""
    for item in items:
        if "part_of" in getattr(item, "fixturenames", ()):
            item.add_marker("counted")


def pytest_collection_finish() -> None:
    """Spare the garbage collector thousands of tests, which stay to the end: it is run by many of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def part_of(pytestconfig: pytest.Config) -> PartOf:
    """How many of a test's many cases are tried."""
    return PartOf(bool(pytestconfig.getoption("full")))


@pytest.fixture
def socket_watch() -> SocketWatch:
    """The process's sockets, to be watched."""
    return WATCH
